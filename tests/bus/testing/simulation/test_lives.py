"""Lives: crashes, orderly ends and openings that fail follow each other until everything was sent and is at rest."""

from typing import Any

import pytest

from bus import Limits
from bus.runtime.dispatcher import Dispatcher
from bus.testing import Faults
from bus.testing.simulation.lives import SimulatedClock, Simulation
from bus.testing.simulation.loop import simulated_loop
from bus.testing.simulation.world import EPOCH, World
from bus.write.intake import Intake
from tests.simulation.shop import SHOP, shopping


def world(seed: int, **rates: float) -> World:
    """One in which only that goes wrong."""
    made = World(SHOP, seed, faults=Faults.none(), limits=Limits(), invariants=())
    made.faults = Faults(**{name: rates.get(name, 0) for name in Faults().__struct_fields__})  # type: ignore[arg-type]
    return made


def lived(of: World, commands: int = 60) -> World:
    Simulation(of, shopping, commands).run()
    return of


def test_a_process_that_crashes_is_followed_by_another_on_the_same_disk() -> None:
    crashes = 0
    for seed in range(12):
        one = lived(world(seed, crashes_max=3))
        assert one.violation is None, one.violation
        assert one.history.counts["open"] == one.history.counts["CRASH"] + 1
        crashes += one.history.counts["CRASH"]
    assert crashes > 5


def test_a_bus_that_is_closed_while_senders_are_at_work_is_followed_by_another() -> None:
    closings = 0
    for seed in range(12):
        one = lived(world(seed, closings_max=2))
        assert one.violation is None, one.violation
        closings += one.history.counts["close"]
    assert closings > 3


def test_a_store_that_cannot_be_opened_is_opened_again() -> None:
    one = lived(world(3, read_fails=0.5))
    assert one.violation is None, one.violation
    assert one.history.counts["not opened"] > 0


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


def test_the_time_of_day_goes_with_the_loop() -> None:
    clock = SimulatedClock(simulated_loop(world(1).schedule, 2.0))
    assert clock.monotonic() == 2.0
    assert (clock.now() - EPOCH).total_seconds() == 2.0
