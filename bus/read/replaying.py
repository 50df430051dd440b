"""Replaying: brings a parked key's letters into its view, in order; one transaction for each step."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from bus.core.errors import Unreadable
from bus.core.letters import DeadLetter
from bus.core.limits import Limits
from bus.core.projection import Projection
from bus.core.schema import Schema
from bus.core.stored import Checkpoint, ViewChanges, ViewTable
from bus.ports import Clock, EventStore, ViewStore
from bus.read.folding import Folded, Folding, Poisoned, StaleShape, Touch
from bus.read.parking import Parking, storable


class Replayed(msgspec.Struct, frozen=True):
    """One step for one key."""

    events: int
    """Letters that are in the view now."""
    left: int
    """Letters that still wait."""
    error: str | None
    """Why the next of them failed again."""
    views: frozenset[str]
    """Keys of views that were changed."""


class Refused(Exception):
    """The store did not write a step: the lease is another's, or an earlier attempt had arrived after all."""


class Replaying:
    """Works between two batches of live events, so that nothing can come in between.

    A commit names the letters that it removes, and is refused where one of them is gone: whatever becomes of a commit
    in doubt, each letter leaves once, together with what it did to the view.
    """

    def __init__(
        self,
        projection: Projection[Any, Any],
        table: ViewTable,
        folding: Folding,
        parking: Parking,
        *,
        event_store: EventStore,
        view_store: ViewStore,
        schema: Schema,
        clock: Clock,
        begin: Callable[[frozenset[str]], None],
        limits: Limits,
    ) -> None:
        """`begin` is told of the views that are about to be changed."""
        self._begin = begin
        self._projection = projection
        self._table = table
        self._folding = folding
        self._parking = parking
        self._event_store = event_store
        self._view_store = view_store
        self._schema = schema
        self._clock = clock
        self._limits = limits

    async def retry(self, key: str, checkpoint: Checkpoint, epoch: int) -> Replayed:
        """Brings the next letters of a key into its view, up to one that fails again."""
        letters = await self._view_store.letters(self._table, key, limit=self._limits.projection_events_max)
        try:
            self._folding.remember([key], await self._view_store.load(self._table, [key]))
        except StaleShape as fault:
            # That of a key that waits concerns nobody else.
            return Replayed(0, self._parking.letters.get(key, 0), str(fault), frozenset())
        refused: Poisoned | None = None
        while True:
            folded, done, failed, error = await self._fold(letters if refused is None else (), key)
            if refused is not None:
                failed, error = letters[0], str(refused)
            again = () if failed is None else (self._tried(failed, str(error)),)
            gone = tuple([(letter.key, letter.position) for letter in (*done, *(() if failed is None else (failed,)))])
            changes = ViewChanges(checkpoint, checkpoint, folded.put, folded.removed, epoch, again, gone)
            try:
                await self._commit(changes)
            except ValueError as fault:
                if not done:
                    raise
                # What the store cannot hold it never will. Which letter made it is found by halves.
                letters = done[: max(1, len(done) // 2)]
                refused = Poisoned(letters[0].position, fault, key) if len(done) == 1 else None
                continue
            self._folding.commit(folded)
            return Replayed(len(done), self._parking.letters.get(key, 0), error, frozenset(folded.views))

    async def discard(self, key: str, position: int, checkpoint: Checkpoint, epoch: int) -> bool:
        """Removes one letter; False where there is none."""
        letters = await self._view_store.letters(self._table, key, after=(position - 1, key), limit=1)
        if not letters or letters[0].position != position:
            return False
        await self._commit(ViewChanges(checkpoint, checkpoint, (), (), epoch, (), ((key, position),)))
        return True

    async def _commit(self, changes: ViewChanges) -> None:
        self._begin(frozenset([*[view.key for view in changes.put], *changes.removed]))
        try:
            is_written = await self._view_store.commit(self._table, changes)
        except ValueError:
            # Nothing was written, for certain.
            raise
        except BaseException:
            self._parking.is_known = False
            raise
        if not is_written:
            self._parking.is_known = False
            raise Refused
        self._parking.commit(changes.parked, changes.unparked, changes.checkpoint)

    async def _fold(
        self, letters: Sequence[DeadLetter], key: str
    ) -> tuple[Folded, Sequence[DeadLetter], DeadLetter | None, str | None]:
        """What the letters make of the view; those that can be folded, the one that cannot, and why."""
        touches: list[Touch] = []
        failed: DeadLetter | None = None
        error: str | None = None
        for letter in letters:
            try:
                touches += await self._touches(letter, key)
            except (Unreadable, Poisoned) as fault:
                failed, error = letter, str(fault)
                break
        while True:
            try:
                folded = self._folding.fold(touches)
                break
            except Poisoned as poison:
                touches = [touch for touch in touches if touch.recorded.position < poison.position]
                if poison.is_found:
                    failed, error = next(one for one in letters if one.position == poison.position), str(poison)
                else:
                    # The others are for another step.
                    letters = [letter for letter in letters if letter.position < poison.position]
                    failed = error = None
        done = letters if failed is None else letters[: letters.index(failed)]
        return folded, done, failed, error

    async def _touches(self, letter: DeadLetter, key: str) -> list[Touch]:
        """The letter's event, where it is still this key's business."""
        page = await self._event_store.page(letter.position - 1, 1)
        events = [one for stored in page for one in self._schema.recorded(stored)]
        mine = self._folding.touches([one for one in events if one.event.__class__ in self._projection.events])
        return [Touch(touch.recorded, (key,)) for touch in mine if key in touch.keys]

    def _tried(self, letter: DeadLetter, error: str) -> DeadLetter:
        return msgspec.structs.replace(
            letter, error=storable(error), attempts=letter.attempts + 1, last_at=self._clock.now()
        )
