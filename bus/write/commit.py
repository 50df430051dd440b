"""Commit: appends what a turn decided as one transaction, and again while nobody knows whether it happened."""

from collections.abc import Sequence
from datetime import datetime

import anyio
import msgspec

from bus.core.errors import StoreUnavailable
from bus.core.limits import Limits
from bus.core.reports import Failed
from bus.core.stored import AlreadyRecorded, Append, Appended, Refusal
from bus.ports import Clock, EventStore, Telemetry
from bus.runtime.log import log, told
from bus.runtime.supervisor import backoff_s


class Committed(msgspec.Struct, frozen=True):
    """A batch whose outcome is known, entry by entry."""

    appended: Appended
    recorded_at: datetime
    attempts: int
    """Above 1, an entry that is already recorded may be our own earlier attempt."""
    commands: int = 0
    events: int = 0
    """Recorded; 0 events where nothing was refused, since whoever gives them their places counts them on the way."""


class Uncertain(msgspec.Struct, frozen=True):
    """A batch of which nobody knows whether it was or will be recorded."""

    error: Exception


class GroupCommit:
    """Step 5 of a command's journey: one transaction for all that a turn decided."""

    def __init__(self, store: EventStore, *, clock: Clock, telemetry: Telemetry, limits: Limits) -> None:
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._limits = limits
        self.batches = 0
        self.commands = 0
        self.events = 0

    async def append(self, entries: Sequence[Append]) -> Committed | Uncertain | StoreUnavailable:
        """Appends the batch; an identical one as often as needed and allowed, whether or not a sender still waits.

        `StoreUnavailable` is returned only where the very first attempt failed for certain: a later certain failure
        says nothing of an earlier attempt, which may still be under way on the store's side.
        """
        limits = self._limits
        recorded_at = self._clock.now()
        failure: Exception = RuntimeError("no attempt was made")
        for attempt in range(1, limits.append_attempts_max + 1):
            try:
                appended = await self._store.append(entries, recorded_at)
            except Exception as error:
                if attempt == 1 and isinstance(error, StoreUnavailable):
                    return error
                log.warning("append is uncertain", store=self._store.url, attempt=attempt, error=told(error))
                self._telemetry.failed(Failed("append", self._store.url, attempt, error))
                failure = error
            else:
                commands, events = _recorded(entries, appended, recorded_at if attempt > 1 else None)
                self.batches += 1
                self.commands += commands
                self.events += events
                return Committed(appended, recorded_at, attempt, commands, events)
            if attempt < limits.append_attempts_max:
                await anyio.sleep(backoff_s(limits.append_backoff_s, limits.append_backoff_max_s, attempt))
        return Uncertain(failure)


def _recorded(entries: Sequence[Append], appended: Appended, earlier: datetime | None) -> tuple[int, int]:
    """Commands and events, as `Committed` counts them."""
    if not appended.refused:
        return len(entries), 0
    refused = [
        len(entries[index].events)
        for index, refusal in appended.refused.items()
        if not is_own(entries[index], refusal, earlier)
    ]
    return len(entries) - len(refused), sum([len(entry.events) for entry in entries]) - sum(refused)


def is_own(entry: Append, refusal: Refusal | None, earlier: datetime | None) -> bool:
    """Whether an append was refused for what an earlier attempt of it recorded with that time; None for no attempt."""
    if earlier is None or not entry.events or not isinstance(refusal, AlreadyRecorded):
        return False
    last = refusal.events[-1]
    return last.version == entry.expected_version + len(entry.events) and last.recorded_at == earlier
