"""Lives: crashes, orderly ends and openings that fail follow each other until everything was sent and is at rest."""

from bus import Limits
from bus.testing import Faults
from bus.testing.simulation.lives import Simulation
from bus.testing.simulation.world import World
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
