"""Telemetry that observes nothing satisfies the port."""

from bus.core.errors import BusClosed
from bus.core.reports import Failed, Projected, Queried, Turned
from bus.ports import Telemetry
from bus.runtime.telemetry import NoTelemetry


def test_no_telemetry_takes_everything_and_tells_nothing() -> None:
    telemetry: Telemetry = NoTelemetry()
    telemetry.refused(object(), BusClosed("closed"))
    telemetry.turned(Turned(started=None, ended=0.0))
    telemetry.recovered([])
    telemetry.projected(Projected("board", (), 0, 0, 0.0, 0.0, True))
    telemetry.queried(Queried("GetBoard", 0.0, 0.0, None, True))
    telemetry.failed(Failed("task", "dispatcher", 1, ValueError()))
    telemetry.closed()
