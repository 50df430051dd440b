"""Rebuilding model: the view store's builds, each with what it must hold, and the rules by which one takes over."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bus.core.application import Application
from bus.core.builds import ANSWERING, BUILDING, REPLACED, Build, answering
from bus.core.messages import Recorded
from bus.core.stored import ViewTable
from bus.testing.simulation.model import NewViewModel, ViewModel, Violated
from bus.testing.simulation.parking_model import ParkingModel

Held = Mapping[tuple[str, int, int], Build]
"""What the view store has, by the place of each table."""


def held(builds: Sequence[Build]) -> Held:
    return {one.table.place: one for one in builds}


def titled(table: ViewTable) -> str:
    """Which build of which projection it is."""
    return f"{table.projection!r} version {table.version}" + (f" build {table.build}" if table.build else "")


class BuildModels:
    """One model for each table that there is, in the version of its projection that the table is named by."""

    def __init__(self, application: Application, events: Sequence[Recorded[Any]], new: NewViewModel) -> None:
        self._versions = {
            (one.name, one.version): one for last in application.view_projections for one in last.versions
        }
        self._events = events
        self._new = new
        self._models: dict[tuple[str, int, int], ViewModel] = {}
        self._were_parked: dict[str, set[tuple[str, int]]] = {}
        """By projection, what some build of it had parked that is no more."""

    def of(self, table: ViewTable) -> ViewModel:
        """What that table must hold."""
        if table.place not in self._models:
            self._models[table.place] = self._new(self._versions[table.projection, table.version], self._events)
        return self._models[table.place]

    def letters(self, table: ViewTable) -> dict[str, list[int]]:
        """The positions that are parked in it, by key."""
        model = self.of(table)
        return model.letters if isinstance(model, ParkingModel) else {}

    def was_parked(self, projection: str, key: str, position: int) -> bool:
        """Whether any build of the projection has ever parked that."""
        found = [one for place, one in self._models.items() if place[0] == projection and isinstance(one, ParkingModel)]
        gone = self._were_parked.get(projection, set())
        return (key, position) in gone or any((key, position) in one.were_parked for one in found)

    def forget(self, table: ViewTable) -> None:
        """The table is no longer there; one of the same name begins anew."""
        self._note_parked(table.projection, self._models.pop(table.place, None))

    def clear(self) -> None:
        """Nothing is there yet, or any more."""
        for place, model in self._models.items():
            self._note_parked(place[0], model)
        self._models = {}

    def _note_parked(self, projection: str, model: ViewModel | None) -> None:
        if isinstance(model, ParkingModel):
            self._were_parked.setdefault(projection, set()).update(model.were_parked)

    def check_end(self, builds: Sequence[Build], head: int, rows_of: Callable[[ViewTable], Sequence[bytes]]) -> None:
        """Exactly one build of each projection answers, from all events; all others hold those up to their checkpoint.

        Somebody may have asked for another one at the very end.
        """
        for build in builds:
            model, what = self.of(build.table), f"the views of {titled(build.table)}"
            if build.state == ANSWERING and build.checkpoint.position != head:
                raise Violated(f"{what} end at {build.checkpoint}")
            if not isinstance(model, ParkingModel):
                model.advance(build.checkpoint.position)
            if sorted(rows_of(build.table)) != sorted(model.rows.values()):
                raise Violated(f"{what} are not what the events make")
        for name in dict.fromkeys([one.table.projection for one in builds]):
            states = [one.state for one in builds if one.table.projection == name]
            if states.count(ANSWERING) != 1:
                raise Violated(f"of the builds of {name!r} not one answers, but {states}")


def check_switch(before: Held, after: Held, table: ViewTable) -> bool:
    """Whether that table answers from now on; raises `Violated` where it has not seen what those before it had."""
    was, now = before.get(table.place), after.get(table.place)
    if now is None or now.state != ANSWERING or (was is not None and was.state == ANSWERING):
        return False
    for place, one in before.items():
        if place != table.place and place[0] == table.projection and one.state == ANSWERING:
            if one.checkpoint.position > now.checkpoint.position:
                raise Violated(
                    f"{titled(table)} answers from {now.checkpoint.position} on in place of {titled(one.table)}, "
                    f"which is at {one.checkpoint.position}"
                )
            if after[place].state != REPLACED:
                raise Violated(f"{titled(table)} answers, and so does {titled(one.table)}")
    return True


def check_drop(before: Held, table: ViewTable, now: datetime, grace_s: float, *, is_asked: bool) -> None:
    """Raises `Violated` where a table is gone that answers, or that others may still answer from."""
    build = before.get(table.place)
    if build is None:
        return
    answers = answering([one for one in before.values() if one.table.projection == table.projection])
    if answers is not None and answers.table.place == table.place:
        raise Violated(f"{titled(table)} was dropped, which answers")
    if is_asked:
        return
    if answers is not None and build.state == BUILDING and build.table.place < answers.table.place:
        # A build of the release before has nothing left to take the place of.
        return
    if build.state != REPLACED or build.since is None:
        raise Violated(f"{titled(table)} was dropped, although nobody has asked for it and it is {build.state}")
    # The machines' clocks differ by up to two seconds.
    if (now - build.since).total_seconds() < grace_s - 2.1:
        raise Violated(f"{titled(table)} was dropped before its grace time, replaced at {build.since} and not {now}")
