"""Parking: which keys of a projection wait, and why; events of theirs become letters instead of views."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from bus.core.letters import DeadLetter
from bus.core.messages import Event, Recorded
from bus.core.names import trace_id_of
from bus.core.stored import Checkpoint, ViewTable
from bus.read.folding import Touch


class Failure(msgspec.Struct, frozen=True):
    """Why a key is about to be parked."""

    position: int
    error: str
    attempts: int
    first_at: datetime
    last_at: datetime


class Parking:
    """Knows what the store knows, and what the next commit is to add."""

    def __init__(self, table: ViewTable) -> None:
        self._table = table
        self._failures: dict[str, Failure] = {}
        """Keys that are parked from the next commit on, and at which event."""
        self.letters: dict[str, int] = {}
        """By key, the number of its letters that are kept."""
        self.is_known = False
        """Whether that is what the store has; false at first, and where a commit may or may not have happened."""

    def begin(self, letters: Mapping[str, int]) -> None:
        """Takes over what the store has."""
        self.letters = dict(letters)
        self.is_known = True

    @property
    def is_idle(self) -> bool:
        """Whether it is known that no key waits, nor is about to."""
        return self.is_known and not self.letters and not self._failures

    @property
    def keys(self) -> int:
        """Keys that wait, or are about to."""
        return len(self.letters.keys() | self._failures.keys())

    def forget(self) -> None:
        """Trusts nothing that it knew."""
        self._failures = {}
        self.is_known = False

    def park(self, keys: Sequence[str], failure: Failure) -> None:
        """From the event of this failure on, those of these keys become letters."""
        for key in keys:
            self._failures[key] = failure

    def divert(self, touches: Sequence[Touch], now: datetime) -> tuple[Sequence[Touch], tuple[DeadLetter, ...]]:
        """What is left to fold, and the letters that the rest becomes."""
        if not self.letters and not self._failures:
            return touches, ()
        left: list[Touch] = []
        letters: list[DeadLetter] = []
        for touch in touches:
            waiting = [key for key in touch.keys if self._waits(key, touch.recorded.position)]
            letters += [self._letter(touch.recorded, key, now) for key in waiting]
            if not waiting:
                left.append(touch)
            elif len(waiting) < len(touch.keys):
                left.append(Touch(touch.recorded, tuple([key for key in touch.keys if key not in waiting])))
        # What an upcaster splits is several events at one place, and one letter.
        return left, tuple({(letter.position, letter.key): letter for letter in letters}.values())

    def commit(self, parked: Sequence[DeadLetter], unparked: Sequence[tuple[str, int]], checkpoint: Checkpoint) -> None:
        """Notes what is now in the store."""
        for letter in parked:
            self.letters[letter.key] = self.letters.get(letter.key, 0) + 1
        for key, _ in unparked:
            self.letters[key] -= 1
            if not self.letters[key]:
                del self.letters[key]
        self._failures = {
            key: failure for key, failure in self._failures.items() if failure.position > checkpoint.position
        }

    def _waits(self, key: str, position: int) -> bool:
        failure = self._failures.get(key)
        return key in self.letters or (failure is not None and position >= failure.position)

    def _letter(self, recorded: Recorded[Event], key: str, now: datetime) -> DeadLetter:
        failure = self._failures.get(key)
        if failure is not None and failure.position != recorded.position:
            failure = None
        return letter_of(self._table, recorded, key, failure, now)


def letter_of(
    table: ViewTable, recorded: Recorded[Event], key: str, failure: Failure | None, now: datetime
) -> DeadLetter:
    """The letter that an event becomes; without a failure of its own it waits behind another one."""
    return DeadLetter(
        projection=table.projection,
        version=table.version,
        key=key,
        position=recorded.position,
        stream=recorded.stream,
        stream_version=recorded.version,
        name=str(type(recorded.event).__struct_config__.tag),
        error=None if failure is None else storable(failure.error),
        attempts=0 if failure is None else failure.attempts,
        first_at=now if failure is None else failure.first_at,
        last_at=now if failure is None else failure.last_at,
        trace_id=trace_id_of(recorded.traceparent),
    )


_ERROR_CHARACTERS_MAX = 2_000


def storable(text: str) -> str:
    """An error's text as any store can keep it."""
    return text[:_ERROR_CHARACTERS_MAX].replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
