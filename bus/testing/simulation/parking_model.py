"""Parking model: what a projection that parks must hold, from what it says it has parked and the events alone."""

from collections.abc import Sequence
from typing import Any

from bus.core.letters import DeadLetter
from bus.core.messages import Recorded
from bus.core.projection import Projection
from bus.core.stored import ViewChanges
from bus.testing.simulation.model import ViewModel, Violated


class ParkingModel(ViewModel):
    """Views and letters. That an event fails is the projection's word; what follows from it is not.

    Every later event of that key is a letter too, in the same commit as the checkpoint; letters leave in order, the
    first of a key first, together with what they make of its view.
    """

    def __init__(self, projection: Projection[Any, Any], events: Sequence[Recorded[Any]]) -> None:
        super().__init__(projection, events)
        self.letters: dict[str, list[int]] = {}
        """Positions by key, in order."""
        self.were_parked: set[tuple[str, int]] = set()
        """Key and position of every letter that there ever was."""

    def commit(self, changes: ViewChanges) -> set[str]:
        """Takes in what was committed; returns the keys whose views it concerns."""
        touched = self._replay(changes) if changes.unparked else set[str]()
        kept = {
            (one.key, one.position): one for one in changes.parked if (one.key, one.position) not in changes.unparked
        }
        for recorded in self._events[self.position : changes.checkpoint.position]:
            if type(recorded.event) in self._types:
                for key in self._keys(recorded):
                    self._take(recorded, key, kept.pop((key, recorded.position), None))
                    touched.add(key)
        if kept:
            raise Violated(f"{self._what} parked what is not its own or had been before: {sorted(kept)}")
        self.position = changes.checkpoint.position
        return touched

    def _take(self, recorded: Recorded[Any], key: str, letter: DeadLetter | None) -> None:
        if letter is None:
            if key in self.letters:
                raise Violated(
                    f"{self._what} let the event at {recorded.position} through to {key!r}, whose event at "
                    f"{self.letters[key][0]} is parked"
                )
            self._project_one(recorded, key)
            return
        if key not in self.letters and letter.error is None:
            raise Violated(f"{self._what} parked the event at {recorded.position} for {key!r} behind nothing")
        self.letters.setdefault(key, []).append(recorded.position)
        self.were_parked.add((key, recorded.position))

    def _replay(self, changes: ViewChanges) -> set[str]:
        again = {(one.key, one.position) for one in changes.parked}
        for key, position in sorted(changes.unparked, key=lambda one: one[1]):
            waiting = self.letters.get(key, [])
            if not waiting or waiting[0] != position:
                raise Violated(f"{self._what} took the letter at {position} of {key!r}, of which {waiting} wait")
            if (key, position) in again:
                continue
            self._project_one(self._events[position - 1], key)
            waiting.pop(0)
            if not waiting:
                del self.letters[key]
        return {key for key, _ in changes.unparked}

    @property
    def _what(self) -> str:
        return f"projection {self.projection.name!r}"
