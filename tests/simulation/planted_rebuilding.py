"""Ways to break how views are rebuilt and switched to, each of them a mistake that somebody could make."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from bus.core.builds import Build
from bus.core.stored import Checkpoint, Claim, ViewTable
from bus.memory import MemoryViewStore
from bus.ports import ViewReader
from bus.read import answers, switching
from bus.read.keeping import Mark, mark_of
from bus.read.lineage import Lineage, Source
from bus.read.lineages import Lineages
from bus.read.progress import Progress
from bus.read.projector import Projector

Patch = pytest.MonkeyPatch


def switch_without_comparing_positions(patch: Patch) -> None:
    """What was built answers, whatever the one before has seen meanwhile."""
    switch = MemoryViewStore.switch

    async def hasty(self: MemoryViewStore, table: ViewTable, epoch: int, over: ViewTable, since: datetime) -> bool:
        old = self._tables.get(over.place)
        before = None if old is None else old.checkpoint
        if old is not None:
            old.checkpoint = Checkpoint()
        try:
            return await switch(self, table, epoch, over, since)
        finally:
            if old is not None and before is not None:
                old.checkpoint = before

    patch.setattr(MemoryViewStore, "switch", hasty)


def switch_as_soon_as_it_is_near(patch: Patch) -> None:
    """Neither the process nor the store looks how far the one that answers has come."""
    switch_without_comparing_positions(patch)

    async def never(self: Progress, position: int, deadline: float = 0.0) -> None:
        """Waits for nothing."""

    run = switching.switch

    async def impatient(services: Any, lineage: Lineage, projector: Projector) -> bool:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Progress, "wait", never)
            return await run(services, lineage, projector)

    patch.setattr("bus.read.lineages.switch", impatient)


def adopt_before_it_has_what_was_answered(patch: Patch) -> None:
    """A process answers from what the store says at once, wherever those views are."""
    patch.setattr(Lineage, "may_adopt", lambda self, projector: True)


def forget_what_was_answered(patch: Patch) -> None:
    """A process compares what it knows of both, not what it has told from views that others brought forward."""

    def careless(self: Lineage, projector: Projector) -> bool:
        return bool(projector.progress.position >= self.progress.position)

    patch.setattr(Lineage, "may_adopt", careless)


def switch_in_any_epoch(patch: Patch) -> None:
    """Who was paused, and has lost the lease, switches all the same."""
    switch = MemoryViewStore.switch

    async def lenient(self: MemoryViewStore, table: ViewTable, epoch: int, over: ViewTable, since: datetime) -> bool:
        held = self._tables.get(table.place)
        return await switch(self, table, epoch if held is None else held.epoch, over, since)

    patch.setattr(MemoryViewStore, "switch", lenient)


def skip_an_event_when_a_build_is_resumed(patch: Patch) -> None:
    """What is built goes on one event too late."""
    begin = Projector._begin

    def late(self: Projector, claim: Claim) -> None:
        begin(self, claim)
        if claim.checkpoint.position and self.is_building:
            self._subscription.accept(msgspec.structs.replace(claim.checkpoint, position=claim.checkpoint.position + 1))

    patch.setattr(Projector, "_begin", late)


def switch_over_what_is_no_longer_there(patch: Patch) -> None:
    """The store does not look whether another one answers than the one that is to be replaced."""
    switch = MemoryViewStore.switch

    async def blind(self: MemoryViewStore, table: ViewTable, epoch: int, over: ViewTable, since: datetime) -> bool:
        others = {place: one for place, one in self._tables.items() if place not in (table.place, over.place)}
        for place in others:
            del self._tables[place]
        try:
            return await switch(self, table, epoch, over, since)
        finally:
            self._tables.update(others)

    async def remembered(services: Any, lineage: Lineage, projector: Projector) -> ViewTable:
        return lineage.answers.table

    patch.setattr(MemoryViewStore, "switch", blind)
    patch.setattr(switching, "_answering", remembered)


def drop_what_was_just_replaced(patch: Patch) -> None:
    """Nobody waits for those who still answer from it."""
    tidy = Lineages._tidy

    async def tidier(self: Lineages, lineage: Lineage) -> float:
        for place, build in lineage.builds.items():
            if build.state == "replaced" and build.since is not None:
                lineage.builds[place] = _since(build, build.since - timedelta(hours=2))
        return await tidy(self, lineage)

    patch.setattr(Lineages, "_tidy", tidier)


def _since(build: Build, since: datetime) -> Build:
    return msgspec.structs.replace(build, since=since)


def keep_what_was_replaced(patch: Patch) -> None:
    """Whoever switches forgets to look again when the grace time is over."""
    tidy = Lineages._tidy

    async def forgetful(self: Lineages, lineage: Lineage) -> float:
        for place, build in lineage.builds.items():
            if build.state == "replaced":
                lineage.builds[place] = _since(build, self._services.clock.now())
        return await tidy(self, lineage)

    patch.setattr(Lineages, "_tidy", forgetful)


REBUILDING_BUGS: Iterable[tuple[Callable[[Patch], None], int]] = (
    (switch_without_comparing_positions, 2),
    (switch_as_soon_as_it_is_near, 1),
    (adopt_before_it_has_what_was_answered, 2),
    (switch_in_any_epoch, 2),
    (skip_an_event_when_a_build_is_resumed, 1),
    (switch_over_what_is_no_longer_there, 2),
    (drop_what_was_just_replaced, 1),
    (keep_what_was_replaced, 1),
)
"""Each with how many buses it takes for somebody to come to harm."""

DOUBTED_BUGS: Iterable[Callable[[Patch], None]] = (forget_what_was_answered,)
"""Found by an answer that is older than one before, where much is asked, and commits and leases are in doubt."""


def keep_answers_beyond_a_switch(patch: Patch) -> None:
    """Nobody who keeps an answer, or watches one, is told that other views answer now."""
    show = Progress.show

    def silent(self: Progress, public: Progress) -> None:
        doubters, listeners = public._doubters, public._listeners
        public._doubters, public._listeners = [], []
        try:
            show(self, public)
        finally:
            public._doubters, public._listeners = doubters, listeners

    patch.setattr(Progress, "show", silent)


def answer_from_what_is_being_built(patch: Patch) -> None:
    """The newest views are read, as if they were those that answer."""

    def hasty(self: Lineage) -> Source:
        new = self.building or self.answers
        return Source(new.projection, new.table, self.progress.position, is_built=True, lineage=self)

    patch.setattr(Lineage, "source", property(hasty))
    patch.setattr(Lineage, "read", lambda self, table, position: True)


def take_one_build_for_another_by_its_checkpoint(patch: Patch) -> None:
    """A kept answer is compared with how far the views are, whichever they are."""

    async def alike(reader: ViewReader, table: ViewTable) -> Mark | None:
        mark = await mark_of(reader, table)
        return None if mark is None else Mark(ViewTable(table.projection, 0), mark.checkpoint, mark.letters)

    patch.setattr(answers, "mark_of", alike)


REBUILT_ANSWER_BUGS: Iterable[tuple[Callable[[Patch], None], int]] = (
    (keep_answers_beyond_a_switch, 1),
    (answer_from_what_is_being_built, 1),
    (take_one_build_for_another_by_its_checkpoint, 2),
)
"""Found where answers are kept, by comparing them with what they must be and by nothing else."""
