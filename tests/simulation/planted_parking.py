"""Ways to break the parking of events, each of them a mistake that somebody could make."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import pytest

from bus.core.letters import DeadLetter
from bus.core.stored import Checkpoint, ViewChanges, ViewTable
from bus.memory import MemoryViewStore
from bus.read.parking import Parking
from bus.read.projector import Projector
from bus.read.replaying import Replaying
from bus.read.writing import ViewAttempt

Patch = pytest.MonkeyPatch


def let_later_events_of_a_parked_key_through(patch: Patch) -> None:
    """Only the event that fails is parked, and what follows it is projected."""

    def once(self: Parking, key: str, position: int) -> bool:
        failure = self._failures.get(key)
        return failure is not None and failure.position == position

    patch.setattr(Parking, "_waits", once)


def forget_what_was_parked_before_the_restart(patch: Patch) -> None:
    """A projector knows only the keys that it has parked itself."""
    begin = Parking.begin
    patch.setattr(Parking, "begin", lambda self, letters: begin(self, {}))


def park_without_a_letter(patch: Patch) -> None:
    """The checkpoint passes the event, and nobody keeps it."""
    commit = Projector._commit

    async def careless(self: Projector, attempt: ViewAttempt) -> None:
        changes = msgspec.structs.replace(attempt.changes, parked=())
        attempt.changes = changes
        await commit(self, attempt)

    patch.setattr(Projector, "_commit", careless)


def hand_over_after_the_first_step(patch: Patch) -> None:
    """A key goes on with live events as soon as some of its letters are in the view."""
    commit = Parking.commit

    def early(
        self: Parking, parked: Sequence[DeadLetter], unparked: Sequence[tuple[str, int]], checkpoint: Checkpoint
    ) -> None:
        commit(self, parked, unparked, checkpoint)
        for key, _ in unparked:
            self.letters.pop(key, None)

    patch.setattr(Parking, "commit", early)


def leave_out_what_fails_again(patch: Patch) -> None:
    """A retry goes on behind a letter that fails again."""
    fold = Replaying._fold

    async def hasty(self: Replaying, letters: Sequence[DeadLetter], key: str) -> Any:
        folded, done, failed, error = await fold(self, letters, key)
        if failed is None or failed == letters[-1]:
            return folded, done, failed, error
        rest = letters[letters.index(failed) + 1 :]
        folded, later, again, why = await fold(self, [*done, *rest], key)
        return folded, later, again or failed, why or error

    patch.setattr(Replaying, "_fold", hasty)


def remove_letters_whether_or_not_they_are_there(patch: Patch) -> None:
    """A retry's commit that arrives late writes an old view over a newer one."""
    commit = MemoryViewStore.commit

    async def lenient(self: MemoryViewStore, table: ViewTable, changes: ViewChanges) -> bool:
        held = self._views(table).letters
        there = tuple([(key, position) for key, position in changes.unparked if (position, key) in held])
        return await commit(self, table, msgspec.structs.replace(changes, unparked=there))

    patch.setattr(MemoryViewStore, "commit", lenient)


PARKING_BUGS: Iterable[Callable[[Patch], None]] = (
    let_later_events_of_a_parked_key_through,
    forget_what_was_parked_before_the_restart,
    park_without_a_letter,
    hand_over_after_the_first_step,
    leave_out_what_fails_again,
    remove_letters_whether_or_not_they_are_there,
)
