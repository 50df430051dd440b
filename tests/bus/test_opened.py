"""Opening, settling and closing: in order, within the deadline, and leaving nothing behind."""

import asyncio
import gc
from contextlib import AsyncExitStack

import anyio
import pytest
import trio

from bus import (
    Bus,
    BusClosed,
    Limits,
    MemoryEventStore,
    MemoryViewStore,
    NotSettled,
    OutcomeUnknown,
    Receipt,
    ShutdownReport,
    StoreInUse,
    StoreUnavailable,
)
from tests.support import ledger
from tests.support.bank import BANK, Deposit, Open, Touch
from tests.support.sending import begin, names
from tests.support.stores import FakeEventStore, Gate, lost_after, unavailable
from tests.support.totals import WITH_VIEWS, FailsToClose, Stuck, Watched


async def test_leaving_the_bus_finishes_what_is_in_flight() -> None:
    store, views = FakeEventStore(), MemoryViewStore()
    gate = Gate()
    async with anyio.create_task_group() as tasks:
        async with Bus(WITH_VIEWS, event_store=store, view_store=views) as bus:
            store.script.append(gate.before)
            sent = [await begin(tasks, bus, Open("a"))]
            await gate.reached.wait()
            sent += [await begin(tasks, bus, Deposit("a", 5)), await begin(tasks, bus, Deposit("b", 5))]

            async def release() -> None:
                await anyio.sleep(5)
                gate.release()

            tasks.start_soon(release)
        assert [type(await one.outcome()).__name__ for one in sent] == ["Receipt", "Receipt", "NotOpen"]
    assert bus.report == ShutdownReport(commands=0, projections={})
    async with Bus(WITH_VIEWS, event_store=store, view_store=views) as bus:
        assert bus.statistics().projections[0].position == 2, "the projectors had reached the end"


async def test_a_closing_bus_takes_no_commands() -> None:
    store = FakeEventStore()
    gate = Gate()
    outcomes: list[object] = []
    async with anyio.create_task_group() as tasks:

        async def later(bus: Bus) -> None:
            await gate.reached.wait()
            await anyio.sleep(1)
            with pytest.raises(BusClosed, match="the bus is closed: nothing was recorded"):
                await bus.send(Touch("b"))
            outcomes.extend(await bus.send_many([Touch("b")]))
            gate.release()

        async with Bus(BANK, event_store=store) as bus:
            store.script.append(gate.before)
            tasks.start_soon(later, bus)
            sent = await begin(tasks, bus, Open("a"))
        assert isinstance(await sent.outcome(), Receipt)
    assert [type(one) for one in outcomes] == [BusClosed]


async def test_what_is_not_finished_by_the_deadline_is_answered_and_reported() -> None:
    store = FakeEventStore()
    gate = Gate()
    started = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        async with Bus(BANK, event_store=store, limits=Limits(shutdown_timeout_s=3)) as bus:
            await bus.send(Touch("a"))
            store.script.append(gate.before)
            sent = [await begin(tasks, bus, Open("a"), command_id="1")]
            await gate.reached.wait()
            sent += [await begin(tasks, bus, Deposit(account, 5)) for account in "ab"]
            sent += [await begin(tasks, bus, Open("a"), command_id="1")]
        kinds = [type(await one.outcome()) for one in sent]
    assert kinds == [OutcomeUnknown, BusClosed, BusClosed, OutcomeUnknown]
    assert anyio.current_time() - started == pytest.approx(3, abs=0.01)
    assert bus.report == ShutdownReport(commands=4, projections={})
    async with Bus(BANK, event_store=store) as bus:
        assert (await bus.send(Open("a"), command_id="1")).duplicate is False


async def test_who_waits_for_recovery_at_the_deadline_is_answered() -> None:
    store = FakeEventStore()
    async with anyio.create_task_group() as tasks:
        async with Bus(BANK, event_store=store, limits=Limits(shutdown_timeout_s=3)) as bus:
            store.read_gate = gate = Gate()
            sent = [await begin(tasks, bus, Open(account)) for account in "ab"]
            await gate.reached.wait()
        assert [type(await one.outcome()) for one in sent] == [BusClosed, BusClosed]
    assert bus.report == ShutdownReport(commands=2, projections={})
    store.read_gate = None
    async with Bus(BANK, event_store=store) as bus:
        assert (await bus.send(Open("a"))).version == 1


async def test_projections_that_are_behind_at_the_deadline_are_reported() -> None:
    async with Bus(WITH_VIEWS, view_store=Stuck(), limits=Limits(shutdown_timeout_s=3)) as bus:
        await bus.send_many([Open("a"), Deposit("a", 1)])
        with pytest.raises(NotSettled, match=r"projection totals \(2 events behind\)") as caught:
            await bus.wait_settled(timeout=1)
        assert caught.value.busy == ("projection totals (2 events behind)",)
    assert bus.report == ShutdownReport(commands=0, projections={"totals": 2})


async def test_a_projection_that_stops_while_the_bus_closes_keeps_nothing_open() -> None:
    store, views = MemoryEventStore(), Watched()
    limits = Limits(projection_attempts_max=3, projection_backoff_s=1)
    async with Bus(WITH_VIEWS, event_store=store, view_store=views, limits=limits) as bus:
        await bus.send_many([Open("a"), Deposit("a", -1)])
    assert not views.is_open
    assert bus.report == ShutdownReport(commands=0, projections={"totals": 1})
    async with Bus(BANK, event_store=store, view_store=views):
        pass


async def test_a_store_that_fails_while_the_bus_closes_keeps_nothing_open() -> None:
    class Failing(MemoryEventStore):
        fails = False

        async def head(self) -> int:
            if self.fails:
                raise StoreUnavailable("away", store="failing:")
            return await super().head()

    store, views = Failing(shared=True), Watched()
    async with Bus(BANK, event_store=store, view_store=views):
        store.fails = True
    assert not views.is_open
    store.fails = False
    async with Bus(BANK, event_store=store, view_store=views) as bus:
        assert await names(bus) == []


@pytest.mark.parametrize(
    "error", [ValueError("the body's"), KeyboardInterrupt(), ExceptionGroup("its own", [KeyError()])]
)
async def test_an_exception_of_the_body_leaves_it_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:  # noqa: PT012 - the whole body is what raises
        async with Bus(WITH_VIEWS) as bus:
            await bus.send(Open("a"))
            raise error
    assert caught.value is error
    assert bus.report is not None
    assert bus.report.is_clean


async def test_a_cancelled_body_is_cancelled_and_the_bus_closed() -> None:
    store, views = FakeEventStore(), Watched()
    gate = Gate()
    with anyio.CancelScope() as scope:
        async with (
            Bus(WITH_VIEWS, event_store=store, view_store=views) as bus,
            anyio.create_task_group() as tasks,
        ):
            store.script.append(gate.after)
            await begin(tasks, bus, Open("a"))
            await gate.reached.wait()
            gate.release()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert not views.is_open
    assert bus.report is not None
    assert bus.report.is_clean
    async with Bus(BANK, event_store=store) as bus:
        assert await names(bus) == ["account-a 1 Opened"]


async def test_an_exception_of_a_cancelled_body_leaves_it_as_it_is() -> None:
    error = ValueError("the body's")
    views = Watched()
    with pytest.raises(ValueError, match="the body's") as caught:  # noqa: PT012
        with anyio.CancelScope() as scope:
            async with Bus(WITH_VIEWS, view_store=views) as bus:
                await bus.send(Open("a"))
                scope.cancel()
                raise error
    assert caught.value is error
    assert not views.is_open


async def test_a_body_that_ends_in_a_cancelled_scope_closes_the_bus() -> None:
    views = Watched()
    with anyio.CancelScope() as scope:
        async with Bus(WITH_VIEWS, view_store=views) as bus:
            await bus.send(Open("a"))
            scope.cancel()
    assert not views.is_open
    assert bus.report is not None


async def test_a_bus_closes_within_its_deadline_although_its_task_is_cancelled() -> None:
    started = anyio.current_time()
    with anyio.move_on_after(1) as scope:
        async with Bus(WITH_VIEWS, view_store=Stuck(), limits=Limits(shutdown_timeout_s=3)) as bus:
            await bus.send(Open("a"))
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert anyio.current_time() - started == pytest.approx(4, abs=0.01)
    assert bus.report == ShutdownReport(commands=0, projections={"totals": 1})


async def test_a_bus_that_cannot_be_opened_leaves_nothing_open() -> None:
    store, views = MemoryEventStore(), Watched(failing=True)
    with pytest.raises(StoreUnavailable, match="no views"):
        async with Bus(WITH_VIEWS, event_store=store, view_store=views):
            pytest.fail("it cannot be opened")
    views.failing = False
    async with Bus(WITH_VIEWS, event_store=store, view_store=views) as bus:
        # Another bus on these stores is refused, and the first goes on.
        with pytest.raises(StoreInUse, match="another bus uses this MemoryEventStore: close it first"):
            await Bus(WITH_VIEWS, event_store=store).__aenter__()
        with pytest.raises(StoreInUse):
            await Bus(WITH_VIEWS, view_store=views).__aenter__()
        assert (await bus.send(Open("a"))).version == 1


async def test_a_bus_that_cannot_be_opened_may_be_tried_again() -> None:
    views = Watched(failing=True)
    bus = Bus(WITH_VIEWS, view_store=views)
    with pytest.raises(StoreUnavailable):
        await bus.__aenter__()
    views.failing = False
    async with bus:
        await bus.send(Open("a"))
    async with bus:
        assert await names(bus) == ["account-a 1 Opened"]


async def test_a_start_that_is_cancelled_leaves_nothing_open() -> None:
    class Slow(MemoryEventStore):
        slow = True

        async def head(self) -> int:
            if self.slow:
                await anyio.sleep_forever()
            return await super().head()

    store, views = Slow(), Watched()
    with anyio.move_on_after(1) as scope:
        async with Bus(WITH_VIEWS, event_store=store, view_store=views):
            pytest.fail("it cannot be opened")
    assert scope.cancelled_caught
    assert not views.is_open
    store.slow = False
    async with Bus(WITH_VIEWS, event_store=store, view_store=views) as bus:
        await bus.send(Open("a"))


async def test_no_task_is_left_when_the_bus_has_closed(anyio_backend_name: str) -> None:
    store = FakeEventStore()
    before = _tasks(anyio_backend_name)
    async with Bus(WITH_VIEWS, event_store=store, limits=Limits(shutdown_timeout_s=1)) as bus:
        await bus.send(Touch("a"))
        assert _tasks(anyio_backend_name) > before
        store.script.append(Gate().before)
        async with anyio.create_task_group() as tasks:
            await begin(tasks, bus, Open("a"))
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert _tasks(anyio_backend_name) == before


def _tasks(backend: str) -> int:
    if backend == "asyncio":
        return len(asyncio.all_tasks())
    return int(trio.lowlevel.current_statistics().tasks_living)


async def test_settling_waits_for_commands_and_for_projections() -> None:
    store = FakeEventStore()
    async with Bus(WITH_VIEWS, event_store=store) as bus, anyio.create_task_group() as tasks:
        await bus.wait_settled()
        gate = Gate()
        await bus.send(Open("a"))
        store.script.append(gate.before)
        sent = await begin(tasks, bus, Deposit("a", 5))
        await gate.reached.wait()
        with pytest.raises(NotSettled, match=r"commands in flight \(1\)"):
            await bus.wait_settled(timeout=1)
        await begin(tasks, bus, Deposit("a", 6))
        with pytest.raises(NotSettled, match="mailbox of account-a"):
            await bus.wait_settled(timeout=1)
        gate.release()
        await bus.wait_settled()
        assert sent.is_done
        assert bus.statistics().projections[0].position == 3


async def test_many_waits_that_end_in_time_leave_nothing_behind() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        store.read_gate = gate = Gate()
        await begin(tasks, bus, Open("a"))
        opened = bus._opened()
        for _ in range(10):
            with pytest.raises(NotSettled):
                await bus.wait_settled(timeout=0.1)
        assert not opened.write.intake._idle_waiters
        gate.release()


async def test_statistics_count_what_happened() -> None:
    store = FakeEventStore()
    async with Bus(WITH_VIEWS, event_store=store) as bus:
        await bus.send_many([Open("a"), Open("b"), Deposit("a", 1), Touch("a")])
        store.script.append(unavailable)
        await bus.send_many([Deposit("a", 1)])
        await bus.wait_settled()
        statistics = bus.statistics()
        assert (statistics.commands, statistics.events, statistics.batches) == (3, 3, 1)
        assert (statistics.residents, statistics.recovered, statistics.position) == (2, 2, 3)
        assert (statistics.commands_in_flight, statistics.mailboxes, statistics.restarts) == (0, 0, 0)
        assert statistics.projections[0].lag_events == 0
        assert statistics.projections[0].lag_s == 0.0
        assert statistics.dead_letters == 0


async def test_lag_is_counted_in_events_and_in_seconds() -> None:
    async with Bus(WITH_VIEWS, view_store=Stuck(), limits=Limits(shutdown_timeout_s=1)) as bus:
        await bus.send_many([Open("a"), Deposit("a", 1)])
        await anyio.wait_all_tasks_blocked()
        projection = bus.statistics().projections[0]
        assert projection.lag_events == 2
        assert projection.lag_s is not None
        assert projection.lag_s >= 0


async def test_the_busses_of_one_process_do_not_know_each_other() -> None:
    async with AsyncExitStack() as stack:
        buses = [await stack.enter_async_context(Bus(BANK)) for _ in range(5)]
        for number, bus in enumerate(buses):
            await bus.send(Open(str(number)))
        assert [await names(bus) for bus in buses] == [[f"account-{number} 1 Opened"] for number in range(5)]
    gc.collect()


async def test_what_goes_wrong_in_closing_is_told_unless_something_went_wrong_before() -> None:
    with pytest.raises(OSError, match="does not close"):
        async with Bus(BANK, view_store=FailsToClose()):
            pass
    with pytest.raises(ValueError, match="the body's"):
        async with Bus(BANK, view_store=FailsToClose()):
            raise ValueError("the body's")


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
async def test_what_was_recorded_without_anybodys_knowledge_reaches_the_views_all_the_same(shared: bool) -> None:
    store = FakeEventStore(shared=shared)
    limits = Limits(append_attempts_max=1)
    async with Bus(ledger.LEDGER, event_store=store, limits=limits) as bus:
        await bus.send(ledger.Deposit("a", 5))
        store.script.append(lost_after)
        with pytest.raises(OutcomeUnknown):
            await bus.send(ledger.Deposit("a", 7))
        await bus.wait_settled()
        assert bus.statistics().position == 2
        store.script.append(lost_after)
        with pytest.raises(OutcomeUnknown):
            await bus.send(ledger.Deposit("a", 9))
        # Nobody asks for rest here: the projectors follow by themselves.
        await bus.wait_projected(3)


async def test_the_end_of_the_store_is_looked_for_until_it_is_known() -> None:
    store = StoreThatFailsToTellItsEnd()
    async with Bus(ledger.LEDGER, event_store=store, limits=Limits(append_attempts_max=1)) as bus:
        store.script.append(lost_after)
        store.failures = 3
        with pytest.raises(OutcomeUnknown):
            await bus.send(ledger.Deposit("a", 5))
        await bus.wait_projected(1)
        assert (store.failures, bus.statistics().restarts) == (0, 0)


class StoreThatFailsToTellItsEnd(FakeEventStore):
    failures = 0

    async def head(self) -> int:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the store is away", store="fake:")
        return await super().head()
