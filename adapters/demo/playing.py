"""Playing: sends the commands of the flights, as fast as it goes or at so many times real time, and counts."""

from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import anyio

from adapters.cli.failures import Failure
from adapters.flights import Played
from bus import Bus, BusError, CommandIdReused, Rejected
from domain.flight import ScheduleFlight

CHUNK_COMMANDS: Final = 4_096
"""Commands handed to the bus at a time; between two of these progress is shown."""
WATCHED_CHUNK_COMMANDS: Final = 256
"""The same where somebody watches, for whom more moves at a time is no play."""
REPORTED_ROWS_MAX: Final = 100
"""Unusable rows and refused commands that are listed; all are counted."""
PAUSE_S_MIN: Final = 0.001
"""A shorter pause is none to an event loop."""


class Tally:
    """Counts what became of the commands."""

    def __init__(self) -> None:
        self.commands = 0
        self.duplicates = 0
        self.by_event: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.rejections: list[str] = []
        self.trace_id: str | None = None
        """Of a command that was traced."""

    async def play(
        self, bus: Bus, chunks: AsyncIterable[Sequence[Played]], shown: Callable[[Sequence[Played]], None]
    ) -> int:
        """Sends everything, chunk by chunk, and returns the last position. `shown` is told after each chunk.

        Raises `Failure` when the store fails; whatever was answered is recorded, and can be played again.
        """
        position = bus.statistics().position
        async for chunk in chunks:
            ids = [one.command_id for one in chunk]
            for outcome in await bus.send_many([one.command for one in chunk], command_ids=ids):
                self.commands += 1
                if isinstance(outcome, BusError):
                    self._refused(outcome)
                    continue
                position = max(position, outcome.position)
                self.trace_id = self.trace_id or outcome.trace_id
                if outcome.duplicate:
                    self.duplicates += 1
                    continue
                for event in outcome.events:
                    self.by_event[str(event.__struct_config__.tag)] += 1
            shown(chunk)
        return position

    def _refused(self, error: BusError) -> None:
        if not isinstance(error, Rejected | CommandIdReused):
            raise Failure(
                f"stopped after {self.commands - 1:,} commands: {error}. What was recorded is safe: run it again with "
                "the same --store to go on"
            ) from error
        self.rejected[error.code] += 1
        if len(self.rejections) < REPORTED_ROWS_MAX:
            self.rejections.append(str(error))


async def chunks_of(
    played: Sequence[Played], *, stop: anyio.Event, size: int, speed: float | None = None
) -> AsyncGenerator[Sequence[Played]]:
    """The commands, up to `size` at a time, until the end or until `stop` is set.

    With `speed`, each comes when its moment has come on a clock that runs so many times faster than the event loop's.
    That clock begins at the first departure: what was put on the schedule before comes at once. Who is late for a
    moment gets its commands at once, too.
    """
    begins = anyio.current_time()
    moments = [one.at for one in played]
    first = next((one.at for one in played if not isinstance(one.command, ScheduleFlight)), None)
    at = 0
    while at < len(played) and not stop.is_set():
        end = min(at + size, len(played))
        if speed is not None:
            now = _moment(first or moments[0], (anyio.current_time() - begins) * speed, moments[-1])
            end = bisect_right(moments, now, at, end)
            if end == at:
                with anyio.move_on_after(max((moments[at] - now).total_seconds() / speed, PAUSE_S_MIN)):
                    await stop.wait()
                continue
        yield played[at:end]
        at = end


def _moment(first: datetime, passed_s: float, last: datetime) -> datetime:
    """The moment so many seconds after the first, but none after the last: a fast clock overflows the calendar."""
    return first + timedelta(seconds=min(passed_s, max(0.0, (last - first).total_seconds())))
