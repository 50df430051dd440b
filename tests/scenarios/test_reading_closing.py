"""Reading while the bus closes: projectors finish if they can, and nobody is left hanging."""

from collections.abc import Awaitable, Callable, Mapping

import anyio
import pytest

from bus import (
    Bus,
    BusClosed,
    Limits,
    MemoryEventStore,
    MemoryViewStore,
    NotProjected,
    ProjectionStopped,
    Recorded,
    Removed,
    StoreUnavailable,
)
from tests.support.ledger import (
    LEDGER,
    AccountEvent,
    Balance,
    Deposit,
    GetBalance,
    GetJournal,
    balances,
    ledger,
    stored_entries,
)
from tests.support.views import ToldViewStore


def always_raises(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
    raise ZeroDivisionError("a bug in project")


async def assert_closed(*stores: MemoryEventStore | MemoryViewStore) -> None:
    for store in stores:
        question = store.head() if isinstance(store, MemoryEventStore) else store.prepare([])
        with pytest.raises(StoreUnavailable, match="not open"):
            await question


async def test_leaving_the_bus_brings_the_views_to_the_last_position() -> None:
    store, views = MemoryEventStore(), ToldViewStore()
    async with Bus(LEDGER, event_store=store, view_store=views) as bus:
        await bus.send_many([Deposit("a")] * 10)
    assert bus.report is not None
    assert bus.report.is_clean
    async with store, views:
        tables = views.kept._tables
        assert {name: held.checkpoint.position for (name, *_), held in tables.items()} == {
            "balances": 10,
            "journal": 10,
            "notes": 10,
        }


async def test_a_projection_that_stops_while_the_bus_closes_is_reported_and_everything_is_closed() -> None:
    store, views = MemoryEventStore(), MemoryViewStore()
    async with Bus(ledger(balances(always_raises)), event_store=store, view_store=views) as bus:
        await bus.send_many([Deposit("a")] * 3)
    assert bus.report is not None
    assert (bus.report.commands, bus.report.projections) == (0, {"balances": 3})
    await assert_closed(store, views)
    async with Bus(LEDGER, event_store=store, view_store=views) as again:
        await again.wait_settled()
        assert await again.query(GetBalance("a")) == Balance("a", 3, [1, 2, 3])


async def test_when_one_stops_while_the_bus_closes_the_others_are_still_brought_to_the_end() -> None:
    views = ToldViewStore()
    views.faulty = "journal"
    limits = Limits(projection_backoff_s=0.01, projection_attempts_max=2)
    async with Bus(ledger(balances(always_raises)), view_store=views, limits=limits) as bus:
        views.faults.extend(["refuse"] * 8)
        await bus.send_many([Deposit("a")] * 3)
    assert not views.faults
    assert bus.report is not None
    assert bus.report.projections == {"balances": 3}


async def test_a_projection_that_had_stopped_is_not_waited_for() -> None:
    async with Bus(ledger(balances(always_raises)), limits=Limits(shutdown_timeout_s=1_000)) as bus:
        receipt = await bus.send(Deposit("a"))
        with pytest.raises(ProjectionStopped):
            await bus.wait_projected(receipt)
        left = anyio.current_time()
    assert anyio.current_time() - left < 1
    assert bus.report is not None
    assert bus.report.projections == {"balances": 1}


async def test_a_view_store_that_is_down_holds_the_bus_up_to_its_deadline_and_no_longer() -> None:
    store, views = MemoryEventStore(), ToldViewStore()
    limits = Limits(shutdown_timeout_s=7)
    async with Bus(ledger(balances()), event_store=store, view_store=views, limits=limits) as bus:
        views.is_down = True
        await bus.send(Deposit("a"))
        left = anyio.current_time()
    assert anyio.current_time() - left == pytest.approx(7)
    assert bus.report is not None
    assert bus.report.projections == {"balances": 1, "journal": 1}
    await assert_closed(store, views.kept)
    views.is_down = False
    async with Bus(ledger(balances()), event_store=store, view_store=views) as again:
        await again.wait_settled()
        journal = await again.query(GetJournal())
        assert journal is not None
        assert journal.entries == await stored_entries(store)


async def test_an_event_store_that_fails_while_the_bus_closes_keeps_nothing_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(MemoryEventStore):
        fails = False

        async def head(self) -> int:
            if self.fails:
                raise ConnectionError("the server is gone")
            return await super().head()

    store, views = Failing(shared=True), MemoryViewStore()
    async with Bus(LEDGER, event_store=store, view_store=views) as bus:
        await bus.send(Deposit("a"))
        store.fails = True
    store.fails = False
    assert "ConnectionError at " in caplog.text
    assert bus.report is not None
    await assert_closed(store, views)


Call = Callable[[Bus], Awaitable[object]]

WAITING: Mapping[str, Call] = {
    "query": lambda bus: bus.query(GetBalance("a"), after=10),
    "wait_projected": lambda bus: bus.wait_projected(10),
}


@pytest.mark.parametrize("call", WAITING.values(), ids=WAITING)
async def test_who_still_waits_for_a_projection_when_the_bus_is_closed_is_told(call: Call) -> None:
    errors: list[Exception] = []

    async def wait(bus: Bus) -> None:
        try:
            await call(bus)
        except Exception as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks:
        async with Bus(LEDGER) as bus:
            tasks.start_soon(wait, bus)
            await anyio.wait_all_tasks_blocked()
        await anyio.wait_all_tasks_blocked()
        (error,) = errors
    assert isinstance(error, NotProjected)
    assert "the bus was closed" in str(error)


async def test_who_waits_for_a_bus_that_cannot_settle_is_told_when_it_is_closed() -> None:
    views, errors = ToldViewStore(), list[Exception]()

    async def wait(bus: Bus) -> None:
        try:
            await bus.wait_settled()
        except Exception as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks:
        async with Bus(LEDGER, view_store=views, limits=Limits(shutdown_timeout_s=1)) as bus:
            views.is_down = True
            await bus.send(Deposit("a"))
            tasks.start_soon(wait, bus)
            await anyio.wait_all_tasks_blocked()
        await anyio.wait_all_tasks_blocked()
        (error,) = errors
    assert isinstance(error, ProjectionStopped)


async def test_after_the_bus_is_closed_every_question_says_so() -> None:
    async with Bus(LEDGER) as bus:
        pass
    for call in (
        lambda: bus.query(GetBalance("a")),
        lambda: bus.wait_projected(1),
        bus.wait_settled,
        lambda: anext(bus.events()),
    ):
        with pytest.raises(BusClosed):
            await call()
    with pytest.raises(BusClosed):
        bus.watch(GetBalance("a"))
    with pytest.raises(BusClosed):
        bus.statistics()


async def test_reading_events_of_a_bus_that_is_closed_meanwhile_is_an_error_and_no_early_end() -> None:
    store = MemoryEventStore()
    async with Bus(LEDGER, event_store=store, limits=Limits(page_events_max=2)) as bus:
        await bus.send_many([Deposit("a")] * 5)
        events = bus.events()
        assert [(await anext(events)).position for _ in range(2)] == [1, 2]
    with pytest.raises(BusClosed, match="after 2"):
        await anext(events)
