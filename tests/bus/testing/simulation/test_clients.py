"""Clients: they send all that they are to send, under ids new and old, and note a call that nobody answers."""

import anyio
import pytest

from bus import Bus, BusClosed, Limits, Query
from bus.runtime.reply import Reply
from bus.testing import Faults
from bus.testing.simulation.clients import Clients, CountedIds, Life
from bus.testing.simulation.living import SimulatedClock
from bus.testing.simulation.loop import simulated_loop
from bus.testing.simulation.stores import SimulatedEventStore, SimulatedViewStore
from bus.testing.simulation.world import World
from bus.write.intake import Intake
from tests.simulation.shop import SHOP, GetTill, Stock, shopping


def world(seed: int = 1) -> World:
    return World(SHOP, seed, faults=Faults(tight_limits=0, shared=0), limits=Limits(), invariants=())


def sent(of: World, clients: Clients, senders: int = 3) -> None:
    """A life in which nothing goes wrong on the disk."""
    of.is_calm = True
    loop = simulated_loop(of.schedule, 0.0)

    async def main() -> None:
        events = SimulatedEventStore(of, clients.draw_command, lambda: None)
        views = SimulatedViewStore(of)
        clock = SimulatedClock(loop)
        bus = Bus(SHOP, event_store=events, view_store=views, clock=clock, ids=clients.ids)
        async with bus, anyio.create_task_group() as tasks:
            for _ in range(senders):
                tasks.start_soon(clients.run, Life(1, bus, views.read_last))

    loop.run(main(), lambda: False)


def test_ids_are_counted_and_told_as_they_are_made() -> None:
    told: list[str] = []
    ids = CountedIds(told.append)
    assert [ids.new(), ids.new()] == told == ["id-1", "id-2"]


def test_everything_is_sent_and_every_answer_checked() -> None:
    one = world()
    clients = Clients(one, shopping, 120)
    sent(one, clients)
    assert clients.is_done
    assert one.violation is None
    counts = one.history.counts
    assert counts["send"] + counts["query"] >= 120
    assert counts["receipt"] > 20
    clients.operations.check_all()
    assert {command_id for command_id in one.sent if command_id.startswith("id-")}
    assert any(len(commands) > 1 for commands in one.sent.values()), "some ids are used again"


def test_another_writers_command_is_a_command_of_the_workload() -> None:
    one = world()
    assert type(Clients(one, shopping, 1).draw_command()) in SHOP.decider_of
    with pytest.raises(ValueError, match="draws no commands"):
        Clients(one, lambda chance: GetTill(), 1).draw_command()


def test_a_workload_that_raises_is_told() -> None:
    def broken(chance: object) -> Stock | Query[object]:
        raise ZeroDivisionError("no wishes")

    one = world()
    sent(one, Clients(one, broken, 5))
    assert one.violation is not None
    assert "no wishes" in one.violation


def test_who_is_told_that_an_open_bus_is_closed_was_told_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(self: Intake, *arguments: object) -> Reply:
        raise BusClosed("closed for lunch")

    monkeypatch.setattr(Intake, "submit", closed)
    one = world()
    sent(one, Clients(one, shopping, 5))
    assert one.violation is not None
    assert "the bus is closed, which it is not" in one.violation
