"""Lineages: a bus finds the builds that there are, makes those that are missing, and keeps in step with others."""

from collections.abc import Sequence

import anyio
import pytest

from bus import Bus, Limits, MemoryEventStore, MemoryViewStore
from bus.core.builds import Build
from bus.core.errors import StoreUnavailable, ViewsDropped
from bus.core.stored import Checkpoint, ViewChanges, ViewTable
from tests.bus.read.test_leases import Place, here
from tests.support.building import HeldViewStore, TurningClock, raised, reshaped, states_of
from tests.support.ledger import BALANCES, LEDGER, Deposit, GetBalance, balances, ledger
from tests.support.projecting import of

LIMITS = Limits(poll_interval_s=0.5, replaced_grace_s=60.0)


async def fill(views: MemoryViewStore, events: MemoryEventStore | None = None) -> MemoryEventStore:
    """Version 1 answers, with one event."""
    events = events or MemoryEventStore()
    async with Bus(LEDGER, event_store=events, view_store=views) as bus:
        await bus.send(Deposit("a"))
        await bus.wait_settled()
    return events


async def test_a_version_is_built_beside_another_only_where_there_are_events_in_that() -> None:
    views = MemoryViewStore()
    async with Bus(LEDGER, view_store=views):
        pass
    async with Bus(raised(), view_store=views):
        # Of views of nothing there is nothing to wait for.
        assert (await states_of(views))[1] == (2, 0, "answering")
        await anyio.sleep(1)
        assert await states_of(views) == [(1, 0, "replaced"), (2, 0, "answering")]


async def test_a_version_raised_without_the_previous_one_takes_its_place_at_once() -> None:
    views = MemoryViewStore()
    events = await fill(views)
    async with Bus(ledger(balances(version=2)), event_store=events, view_store=views, limits=LIMITS) as bus:
        await bus.wait_settled()
        found = await bus.query(GetBalance("a"))
        assert found is not None
        assert found.positions == [1]
        assert await states_of(views) == [(1, 0, "answering"), (2, 0, "answering")]


async def test_an_earlier_release_takes_up_its_own_views_again_and_leaves_those_of_a_later_one() -> None:
    views = MemoryViewStore()
    events = await fill(views)
    async with Bus(raised(), event_store=events, view_store=views, limits=LIMITS) as bus:
        await bus.send(Deposit("a"))
        await bus.wait_settled()
        assert await states_of(views) == [(1, 0, "replaced"), (2, 0, "answering")]
    async with Bus(LEDGER, event_store=events, view_store=views, limits=LIMITS) as bus:
        found = await bus.query(GetBalance("a"), after=2)
        assert found is not None
        assert found.balance == 2
        await anyio.sleep(100)
        # What it does not know it neither drops nor takes for its own.
        assert await states_of(views) == [(1, 0, "replaced"), (2, 0, "answering")]


class Failing(HeldViewStore):
    """Cannot be looked at for a while."""

    is_blind = False

    async def builds(self) -> Sequence[Build]:
        if self.is_blind:
            raise StoreUnavailable("nothing can be read", store=self.url)
        return await super().builds()


async def test_where_builds_cannot_be_looked_at_that_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    views = Failing()
    events = await fill(views)
    async with Bus(raised(), event_store=events, view_store=views, limits=LIMITS, clock=TurningClock()) as bus:
        views.is_blind = True
        views.gate.set()
        await anyio.sleep(10)
        assert "builds cannot be looked at" in caplog.text
        views.is_blind = False
        await anyio.sleep(10)
        assert await states_of(views) == [(1, 0, "replaced"), (2, 0, "answering")]
        found = await bus.query(GetBalance("a"))
        assert found is not None
        assert found.balance == 2


async def test_both_processes_of_a_release_answer_from_what_one_of_them_has_built() -> None:
    place = Place()
    async with Bus(LEDGER, event_store=place.events, view_store=place.kept) as bus:
        await bus.send(Deposit("a"))
        await bus.wait_settled()
    (one, _), (other, _) = place.bus(raised(), LIMITS), place.bus(raised(), LIMITS)
    async with one, other:
        await one.wait_settled()
        await anyio.sleep(1)
        assert await states_of(place.kept) == [(1, 0, "replaced"), (2, 0, "answering")]
        for bus in (one, other):
            told = of(bus.statistics())
            assert (told.version, told.building) == (2, None)
            found = await bus.query(GetBalance("a"))
            assert found is not None
            assert found.balance == 2
        assert here(one) & here(other) == set()


async def test_a_build_goes_on_in_another_process_when_its_own_is_gone() -> None:
    events, kept = MemoryEventStore(shared=True), HeldViewStore(shared=True)
    await fill(kept, events)
    one = Bus(raised(), event_store=events, view_store=kept, limits=LIMITS)
    other = Bus(raised(), event_store=events, view_store=kept, limits=LIMITS)
    async with other:
        async with one:
            assert await states_of(kept) == [(1, 0, "answering"), (2, 0, "building")]
        kept.gate.set()
        await other.wait_settled()
        await anyio.sleep(2)
        assert await states_of(kept) == [(1, 0, "replaced"), (2, 0, "answering")]


async def test_who_answers_from_views_that_another_drops_is_told_so_for_good() -> None:
    events, kept = MemoryEventStore(shared=True), HeldViewStore(shared=True)
    await fill(kept, events)
    kept.gate.set()
    old = Bus(LEDGER, event_store=events, view_store=kept, limits=LIMITS)
    new = Bus(reshaped(), event_store=events, view_store=kept, limits=LIMITS)
    async with old, new:
        await new.wait_settled()
        assert await kept.drop(ViewTable("balances", 1))
        await anyio.sleep(2)
        with pytest.raises(ViewsDropped, match="were dropped"):
            await old.query(GetBalance("a"))
        assert of(old.statistics()).stopped == "its views were dropped"
        # The rest of that process goes on.
        await old.send(Deposit("a"))
        await old.wait_projected(2, "journal")


async def test_a_bus_that_is_closed_lets_nobody_wait_for_what_it_was_building() -> None:
    views = HeldViewStore()
    events = await fill(views)
    bus = Bus(raised(), event_store=events, view_store=views, limits=LIMITS)
    async with anyio.create_task_group() as tasks, bus:
        lineages = bus._opened().read.lineages
        tasks.start_soon(lineages.wait_built)
        await anyio.wait_all_tasks_blocked()
        assert lineages.busy() == ["balances version 2"]


async def test_a_build_of_another_event_store_is_told_once_and_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    views, foreign = MemoryViewStore(shared=True), ViewTable("balances", 1, BALANCES.indexes, 1)
    events, limits = MemoryEventStore(shared=True), Limits(poll_interval_s=0.5)
    async with Bus(LEDGER, event_store=events, view_store=views, limits=limits, clock=TurningClock()) as bus:
        await bus.send(Deposit("a"))
        await bus.wait_settled()
        await views.build(foreign, TurningClock().now())
        claim = (await views.claim([foreign], "another", 60.0))[foreign]
        checkpoint = Checkpoint(9, "another store", "account-a", 9)
        assert await views.commit(foreign, ViewChanges(Checkpoint(), checkpoint, (), (), claim.epoch))
        await anyio.sleep(10)
        (record,) = [one for one in caplog.records if "of another event store" in one.getMessage()]
        assert "projections drop balances --version 1 --build 1" in str(record.__dict__)
        assert "builds cannot be looked at" not in caplog.text
        assert (await bus.ask_projection("journal", "rebuild")).is_done
        assert (await bus.ask_projection("balances", "drop")).answer == "version 1 build 1 was dropped"
        found = await bus.query(GetBalance("a"))
        assert found is not None
        assert found.balance == 1
