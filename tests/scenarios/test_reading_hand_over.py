"""Reading: pages hand over to the feed and back without gap or double, however writers, faults and restarts mix."""

import random
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import anyio
import anyio.lowlevel
import pytest

from bus import Bus, Limits, MemoryEventStore
from bus.core.stored import Append, Appended, NewEvent, StoredEvent
from tests.support.ledger import LEDGER, Close, Deposit, GetBalances, GetJournal, WriteNote, stored_entries
from tests.support.views import ToldViewStore

ACCOUNTS = ("a", "b", "c")


class SlowEventStore(MemoryEventStore):
    """Lets others run before and after each access, so that commits and reads interleave at random."""

    def __init__(self, chance: random.Random, *, shared: bool = False) -> None:
        super().__init__(shared=shared)
        self._chance = chance

    async def _others(self) -> None:
        for _ in range(self._chance.choice((0, 0, 1, 2, 5))):
            await anyio.lowlevel.checkpoint()

    async def append(self, batch: Sequence[Append], recorded_at: datetime) -> Appended:
        await self._others()
        appended = await super().append(batch, recorded_at)
        await self._others()
        return appended

    async def page(self, after: int, limit: int) -> Sequence[StoredEvent]:
        await self._others()
        page = await super().page(after, limit)
        await self._others()
        return page

    async def stream_pages(self, after: Mapping[str, int], limit: int) -> Sequence[StoredEvent]:
        await self._others()
        return await super().stream_pages(after, limit)


def limits(chance: random.Random) -> Limits:
    return Limits(
        feed_events_max=chance.choice((1, 2, 7, 100)),
        page_events_max=chance.choice((1, 3, 100)),
        projection_events_max=chance.choice((1, 2, 5, 100)),
        cached_views_max=chance.choice((1, 100)),
        poll_interval_s=chance.choice((0.001, 0.5)),
        conflict_attempts_max=100,
    )


def views_with_faults(chance: random.Random, views: ToldViewStore) -> ToldViewStore:
    views.faults.clear()
    for _ in range(30):
        views.faults.append(chance.choice(("none", "none", "none", "refuse", "before", "after", "late")))
    return views


async def write(bus: Bus, chance: random.Random, count: int) -> None:
    for _ in range(count):
        kind = chance.random()
        if kind < 0.6:
            await bus.send(Deposit(chance.choice(ACCOUNTS), 1, times=chance.randrange(5)))
        elif kind < 0.7:
            await bus.send(Close(chance.choice(ACCOUNTS)))
        elif kind < 0.9:
            await bus.send(WriteNote("n"))
        else:
            await anyio.sleep(chance.choice((0.0005, 0.02)))


async def write_from_elsewhere(store: MemoryEventStore, chance: random.Random, name: str) -> None:
    """Another process, which uses the store and tells no feed."""
    for number in range(20):
        events = (NewEvent("deposited", b'{"$type":"deposited","amount":1}'),) * 2
        await store.append([Append(f"account-{name}", number * 2, events, f"{name} {number}", b"")], datetime.now(UTC))
        await anyio.sleep(chance.choice((0, 0, 0.01)))


async def assert_matches(bus: Bus, store: MemoryEventStore) -> None:
    """Every event is in the views, once and in its place."""
    await bus.wait_settled()
    events = await store.page(0, 1_000_000)
    journal = await bus.query(GetJournal())
    assert journal is not None
    assert journal.entries == await stored_entries(store)
    expected: dict[str, list[int]] = {}
    for event in events:
        account = event.stream.removeprefix("account-")
        if event.name == "deposited":
            expected.setdefault(account, []).append(event.position)
        elif event.name == "closed":
            expected.pop(account, None)
    assert {one.account: one.positions for one in await bus.query(GetBalances())} == expected


@pytest.mark.parametrize("seed", range(40))
async def test_every_event_is_projected_once_in_order_while_batches_commit(seed: int) -> None:
    chance = random.Random(seed)
    store, views = SlowEventStore(chance), ToldViewStore()
    for _ in range(3):
        async with Bus(
            LEDGER, event_store=store, view_store=views_with_faults(chance, views), limits=limits(chance)
        ) as bus:
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(write, bus, chance, 15)
            await assert_matches(bus, store)


@pytest.mark.parametrize("seed", range(40))
async def test_every_event_is_projected_once_in_order_by_each_of_several_buses_on_one_store(seed: int) -> None:
    chance = random.Random(seed)
    store = SlowEventStore(chance, shared=True)
    views = [ToldViewStore(), ToldViewStore()]
    for turn in range(2):
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(store)
            buses = [
                await stack.enter_async_context(
                    Bus(LEDGER, event_store=store, view_store=views_with_faults(chance, one), limits=limits(chance))
                )
                for one in views
            ]
            async with anyio.create_task_group() as tasks:
                for bus in buses:
                    tasks.start_soon(write, bus, chance, 15)
                tasks.start_soon(write_from_elsewhere, store, chance, f"z{turn}")
            for bus in buses:
                await assert_matches(bus, store)


@pytest.mark.parametrize("behind", [0, 1, 2_000, 5_000])
async def test_a_projector_sees_everything_however_far_behind_it_starts(behind: int) -> None:
    store = MemoryEventStore()
    async with Bus(LEDGER, event_store=store) as bus:
        await bus.send_many([Deposit("a", times=100)] * (behind // 100) + [Deposit("b", times=1)] * (behind % 100))
    async with Bus(LEDGER, event_store=store, limits=Limits(feed_events_max=50, page_events_max=999)) as bus:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write, bus, random.Random(1), 50)
        await assert_matches(bus, store)
