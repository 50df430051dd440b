"""Living: what a life may never show, whoever looks at it: waiting for ever, crashes of tasks, limits exceeded."""

from typing import Any

import pytest

from bus import Limits
from bus.runtime.dispatcher import Dispatcher
from bus.testing.simulation.living import SimulatedClock
from bus.testing.simulation.loop import simulated_loop
from bus.testing.simulation.world import EPOCH
from bus.write.intake import Intake
from tests.bus.testing.simulation.test_lives import lived, world


def test_senders_that_wait_for_ever_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dispatcher, "wake", lambda self, actor: None)
    one = lived(world(1))
    assert one.violation is not None
    assert "waits for ever" in one.violation


def test_a_task_of_the_bus_that_crashes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Dispatcher.run
    crashed: list[int] = []

    async def once(self: Dispatcher[Any]) -> None:
        if not crashed:
            crashed.append(1)
            raise ZeroDivisionError
        await run(self)

    monkeypatch.setattr(Dispatcher, "run", once)
    one = lived(world(1))
    assert one.violation is not None
    assert "crashed" in one.violation


def test_more_in_flight_than_the_limit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    submit = Intake.submit

    def unbounded(self: Intake, *arguments: object) -> object:
        self._bus_commands_max = 1_000_000
        return submit(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Intake, "submit", unbounded)
    one = world(2, slow=1.0)
    one.limits = Limits(bus_commands_max=1)
    assert lived(one).violation is not None


def test_the_time_of_day_goes_with_the_loop_and_a_machines_own_error() -> None:
    loop = simulated_loop(world(1).schedule, 2.0)
    for skew_s in (0.0, 0.5):
        clock = SimulatedClock(loop, skew_s)
        assert clock.monotonic() == 2.0
        assert (clock.now() - EPOCH).total_seconds() == 2.0 + skew_s
