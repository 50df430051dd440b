"""Telemetry that observes nothing: the default, at the price of a look whether there is another."""

from collections.abc import Callable, Sequence

from bus.core.errors import BusError
from bus.core.reports import Failed, Journey, Projected, Queried, Recovered, Sent, Turned
from bus.core.statistics import Statistics
from bus.ports import Clock


class NoTelemetry:
    """Satisfies the port and does nothing. Base of telemetries that listen to some of it."""

    def opened(self, statistics: Callable[[], Statistics], clock: Clock) -> None:
        pass

    def closed(self) -> None:
        pass

    def sent(self, message: Sent, /) -> Journey | str | None:
        return None

    def refused(self, command: object, error: BusError) -> None:
        pass

    def turned(self, turn: Turned) -> None:
        pass

    def recovered(self, actors: Sequence[Recovered]) -> None:
        pass

    def projected(self, batch: Projected) -> None:
        pass

    def queried(self, query: Queried) -> None:
        pass

    def failed(self, failure: Failed) -> None:
        pass
