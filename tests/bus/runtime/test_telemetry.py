"""Telemetry that observes nothing satisfies the port."""

from bus.ports import Telemetry
from bus.runtime.telemetry import NoTelemetry


def test_no_telemetry_takes_everything_and_tells_nothing() -> None:
    telemetry: Telemetry = NoTelemetry()
    assert telemetry.context() is None
    telemetry.committed(1, 1, 0.0)
    telemetry.projected("board", 1, 0.0)
    telemetry.queried("GetBoard", 0.0, None)
