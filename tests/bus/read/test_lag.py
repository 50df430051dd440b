"""Lag: what statistics and standings tell of a projection, in events and in seconds, and of what is being built."""

from datetime import timedelta

import anyio
import pytest

from bus import Bus, Limits, MemoryEventStore, MemoryViewStore
from bus.core.builds import REPLACED, Build
from bus.core.stored import Checkpoint
from bus.read.lag import standing_of
from tests.support.building import HeldViewStore, TurningClock, projector_of, raised, services_of
from tests.support.ledger import LEDGER, Deposit, balances, ledger
from tests.support.projecting import POISON, Brittle, of
from tests.support.views import ToldViewStore

NOW = TurningClock().now


async def test_rate_and_batch_size_are_those_of_the_last_seconds() -> None:
    async with Bus(LEDGER, clock=TurningClock()) as bus:
        await bus.send_many([Deposit("a")] * 40)
        await bus.wait_settled()
        await anyio.sleep(4)
        found = of(bus.statistics())
        assert (found.version, found.build, found.events) == (1, 0, 40)
        assert found.events_per_s == pytest.approx(10)
        assert found.batch_events == 40 / found.batches
        await anyio.sleep(20)
        found = of(bus.statistics())
        assert (found.events, found.events_per_s, found.batch_events) == (40, 0.0, 0.0)


async def test_retries_are_all_failed_attempts_and_attempts_those_at_what_comes_next() -> None:
    views = ToldViewStore()
    async with Bus(ledger(balances(Brittle(2).project)), view_store=views) as bus:
        await bus.send(Deposit("a", POISON))
        await bus.wait_settled()
        views.faulty = "balances"
        views.faults.append("refuse")
        await bus.send(Deposit("a"))
        await bus.wait_settled()
        found = of(bus.statistics())
        assert (found.attempts, found.retries) == (0, 3)


async def test_the_age_of_what_a_stopped_projection_stands_before_is_exact_though_the_feed_has_lost_it() -> None:
    limits = Limits(feed_events_max=2, projection_attempts_max=1)
    bus = Bus(ledger(balances(Brittle().project)), limits=limits, clock=TurningClock())
    async with bus:
        await anyio.sleep(100)
        await bus.send(Deposit("a", POISON))
        for _ in range(50):
            await anyio.sleep(1)
            await bus.send(Deposit("b"))
        found = of(bus.statistics())
        assert (found.position, found.lag_events, found.lag_s) == (0, 51, 50.0)


async def test_what_is_being_built_is_told_beside_what_answers() -> None:
    events, views = MemoryEventStore(), HeldViewStore()
    async with Bus(LEDGER, event_store=events, view_store=views) as bus:
        await bus.send_many([Deposit("a")] * 20)
        await bus.wait_settled()
        assert of(bus.statistics()).building is None
    views.passing = 2
    limits = Limits(projection_events_max=5)
    async with Bus(raised(), event_store=events, view_store=views, limits=limits, clock=TurningClock()) as bus:
        await anyio.sleep(2)
        found = of(bus.statistics())
        assert (found.version, found.position, found.lag_events) == (1, 20, 0)
        building = found.building
        assert building is not None
        assert (building.version, building.build, building.is_here, building.stopped) == (2, 0, True, None)
        assert (building.position, building.lag_events) == (10, 10)
        assert building.events_per_s == pytest.approx(5)
        assert building.left_s == pytest.approx(2)
        await anyio.sleep(28)
        building = of(bus.statistics()).building
        assert building is not None
        # It may have rested all this time.
        assert building.events_per_s == pytest.approx(1 / 3)
        await anyio.sleep(40)
        building = of(bus.statistics()).building
        assert building is not None
        assert (building.events_per_s, building.left_s) == (0.0, None)
        views.gate.set()
        await bus.wait_settled()
        found = of(bus.statistics())
        assert (found.version, found.building) == (2, None)


async def test_a_first_build_is_not_beside_itself() -> None:
    views = MemoryViewStore()
    async with views:
        await views.build(projector_of(services_of(), balances()).table, NOW())
    async with Bus(LEDGER, view_store=views) as bus:
        assert of(bus.statistics()).building is None


async def test_a_standing_says_when_what_was_replaced_will_be_dropped() -> None:
    services = services_of(limits=Limits(replaced_grace_s=60.0))
    projector, since = projector_of(services, balances()), NOW()
    projector.lately.add(anyio.current_time(), 1_234_567)
    replaced = Build(projector.table, Checkpoint(), REPLACED, since)
    told = standing_of(services, projector, replaced, "me")
    assert told.drops_at == since + timedelta(seconds=60)
    assert (told.owner, told.events_per_s, told.batch_events) == ("me", 1_230_000.0, 1_230_000.0)
    assert standing_of(services, projector, None, "me").drops_at is None
