"""The ports of the surroundings: time, chance and whoever observes."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from bus.core.errors import BusError
from bus.core.reports import Failed, Journey, Projected, Queried, Recovered, Sent, Turned
from bus.core.statistics import Statistics


@runtime_checkable
class Waking(Protocol):
    """What a shared store may do besides: tell of what others have committed sooner than polling finds it."""

    async def follow(self, heard: Callable[[int], None]) -> None:
        """Calls `heard` when others have committed something, and lets others hear of this store's own commits.

        An event store tells the position, a view store a number without meaning: checkpoints or leases have changed.
        To be run while the store is open, once at a time. Returns where that cannot be done; raises when it breaks off,
        and may be called again. News may be missed at any time: this saves waiting, and replaces no reading.
        """
        ...


class Clock(Protocol):
    """Time, as the bus sees it."""

    def monotonic(self) -> float:
        """Seconds on the clock of the running event loop, for deadlines."""
        ...

    def now(self) -> datetime:
        """The time of day in UTC, for `recorded_at`."""
        ...


class Ids(Protocol):
    """Where the ids of commands come from."""

    def new(self) -> str:
        """A text that nobody has had before; in growing order if possible, which keeps indexes small."""
        ...


class Telemetry(Protocol):
    """What observes the bus. Its methods are plain calls on the bus's own path: they return at once and never raise.

    Apart from `sent`, which is asked for each command, all is told after the fact and a batch at a time.
    """

    def opened(self, statistics: Callable[[], Statistics], clock: Clock) -> None:
        """A bus was opened; its `statistics` are to be had until `closed`, and its times are those of `clock`."""
        ...

    def closed(self) -> None:
        """That bus is being closed."""
        ...

    def sent(self, message: Sent, /) -> Journey | str | None:
        """A command is being sent, in the task of its sender.

        Returns a journey where its way is to be told in full, else the W3C `traceparent` of the sender, if any. Either
        is stored with the events.
        """
        ...

    def refused(self, command: object, error: BusError) -> None:
        """A command was refused before it reached a mailbox."""
        ...

    def turned(self, turn: Turned) -> None:
        """Commands were answered; called after their senders were."""
        ...

    def recovered(self, actors: Sequence[Recovered]) -> None:
        """Actors were loaded from the store; the commands that waited for them are decided next."""
        ...

    def projected(self, batch: Projected) -> None:
        """A projector committed a batch."""
        ...

    def queried(self, query: Queried) -> None:
        """A query was answered, or failed."""
        ...

    def failed(self, failure: Failed) -> None:
        """Something failed and is tried again, or was given up."""
        ...
