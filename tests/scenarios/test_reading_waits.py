"""Waiting for views and for rest; what statistics tell of projections; reading aggregates and events as recorded."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from bus import (
    Bus,
    BusError,
    DefinitionError,
    Event,
    Limits,
    Loaded,
    MemoryEventStore,
    NotSettled,
    ProjectionStopped,
    ProjectionTimeout,
    Recorded,
    Statistics,
    Unreadable,
)
from bus.core.stored import Append, Appended, NewEvent
from tests.support.ledger import (
    ACCOUNT,
    BALANCES,
    JOURNAL,
    LEDGER,
    NOTE,
    NOTES,
    Account,
    Balance,
    Close,
    Deposit,
    GetBalance,
    Note,
    WriteNote,
)
from tests.support.views import ToldViewStore

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


class MovingClock:
    """The event loop's time, and a time of day that goes with it."""

    def monotonic(self) -> float:
        return anyio.current_time()

    def now(self) -> datetime:
        return NOON + timedelta(seconds=anyio.current_time())


def lags(statistics: Statistics) -> dict[str, tuple[int, float | None]]:
    return {one.name: (one.lag_events, one.lag_s) for one in statistics.projections}


class Stuck(MemoryEventStore):
    """Appends wait while there is a gate."""

    gate: anyio.Event | None = None

    async def append(self, batch: Sequence[Append], recorded_at: datetime) -> Appended:
        if self.gate is not None:
            await self.gate.wait()
        return await super().append(batch, recorded_at)


async def test_wait_projected_waits_for_the_projections_named_and_for_all_when_none_is() -> None:
    views = ToldViewStore()
    async with Bus(LEDGER, view_store=views) as bus:
        views.hold("notes")
        receipt = await bus.send(Deposit("a"))
        await bus.wait_projected(receipt, BALANCES)
        await bus.wait_projected(receipt, "journal")
        await bus.wait_projected(receipt.position, BALANCES, "journal")
        for named in ((), (NOTES,), (BALANCES, "notes"), ("notes", "notes")):
            with pytest.raises(ProjectionTimeout) as caught:
                await bus.wait_projected(receipt, *named, timeout=1)
            assert caught.value.projection == "notes"
        views.let_go("notes")
        await bus.wait_projected(receipt)
        assert {one.position for one in bus.statistics().projections} == {1}


async def test_wait_projected_has_the_deadline_of_the_limits_unless_it_is_told_another() -> None:
    async with Bus(LEDGER, limits=Limits(wait_timeout_s=3)) as bus:
        for timeout, seconds in ((None, 3), (5.0, 5), (0.0, 0)):
            started = anyio.current_time()
            with pytest.raises(ProjectionTimeout, match="is recorded"):
                await bus.wait_projected(1, timeout=timeout)
            assert anyio.current_time() - started == pytest.approx(seconds)
        await bus.wait_projected(0, timeout=0)
        await bus.wait_settled(timeout=0)


async def test_a_projection_that_does_not_exist_cannot_be_waited_for() -> None:
    async with Bus(LEDGER) as bus:
        with pytest.raises(DefinitionError, match="no projection boards, lists"):
            await bus.wait_projected(0, JOURNAL, "boards", "lists")


async def test_after_wait_settled_everything_sent_is_answered_and_in_the_views() -> None:
    async with Bus(LEDGER) as bus, anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(bus.send, Deposit(f"a-{number % 3}"))
        await anyio.wait_all_tasks_blocked()
        await bus.wait_settled()
        statistics = bus.statistics()
        assert (statistics.commands_in_flight, statistics.position) == (0, 20)
        assert {one.position for one in statistics.projections} == {20}


async def test_wait_settled_waits_for_what_is_sent_while_it_waits() -> None:
    views, settled = ToldViewStore(), list[bool]()
    async with Bus(LEDGER, view_store=views) as bus, anyio.create_task_group() as tasks:

        async def settle() -> None:
            await bus.wait_settled()
            settled.append(True)

        views.hold("journal")
        await bus.send(Deposit("a"))
        await views.held("journal")
        tasks.start_soon(settle)
        await anyio.wait_all_tasks_blocked()
        await bus.send(Deposit("a"))
        views.let_go("journal")
        views.hold("journal")
        await views.held("journal")
        await anyio.wait_all_tasks_blocked()
        assert not settled
        views.let_go("journal")
        await anyio.wait_all_tasks_blocked()
        assert settled


async def test_wait_settled_sees_what_another_writer_has_recorded() -> None:
    store = MemoryEventStore(shared=True)
    async with Bus(LEDGER, event_store=store, limits=Limits(poll_interval_s=1_000)) as bus:
        await anyio.wait_all_tasks_blocked()
        await store.append([Append("account-a", 0, (NewEvent("closed", b'{"$type":"closed"}'),), "c", b"")], NOON)
        await bus.wait_settled(timeout=1)
        assert {one.position for one in bus.statistics().projections} == {1}


async def test_wait_settled_names_who_is_busy_when_its_time_is_over() -> None:
    views = ToldViewStore()
    async with Bus(LEDGER, view_store=views) as bus:
        views.hold("journal")
        await bus.send_many([Deposit("a"), Deposit("b")])
        with pytest.raises(NotSettled) as caught:
            await bus.wait_settled(timeout=1)
        assert caught.value.busy == ("projection journal (2 events behind)",)
        assert "projection journal (2 events behind)" in str(caught.value)
        views.let_go("journal")


async def test_wait_settled_names_commands_and_mailboxes_that_are_busy() -> None:
    store = Stuck()
    store.gate = anyio.Event()
    async with Bus(LEDGER, event_store=store) as bus, anyio.create_task_group() as tasks:
        tasks.start_soon(bus.send, Deposit("a"))
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(bus.send, Deposit("b"))
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(NotSettled) as caught:
            await bus.wait_settled(timeout=1)
        assert caught.value.busy == ("commands in flight (2)", "mailbox of account-b")
        store.gate.set()


async def test_wait_settled_tells_of_a_stopped_projection_at_once_also_while_commands_are_in_flight() -> None:
    store = Stuck()
    async with Bus(LEDGER, event_store=store) as bus, anyio.create_task_group() as tasks:
        await store.append([Append("account-a", 0, (NewEvent("renamed", b"{}"),), "c", b"")], NOON)
        await bus.send(Deposit("b"))
        with pytest.raises(ProjectionStopped):
            await bus.wait_projected(2)
        store.gate = anyio.Event()
        tasks.start_soon(bus.send, Deposit("b"))
        await anyio.wait_all_tasks_blocked()
        started = anyio.current_time()
        with pytest.raises(ProjectionStopped, match="renamed"):
            await bus.wait_settled()
        assert anyio.current_time() == started
        store.gate.set()


async def test_wait_settled_names_an_event_store_that_does_not_answer() -> None:
    class Silent(MemoryEventStore):
        silent = False

        async def head(self) -> int:
            if self.silent:
                await anyio.sleep_forever()
            return await super().head()

    store = Silent(shared=True)
    async with Bus(LEDGER, event_store=store) as bus:
        store.silent = True
        with pytest.raises(NotSettled) as caught:
            await bus.wait_settled(timeout=1)
        assert caught.value.busy == ("event store memory:",)
        store.silent = False


async def test_cancelled_waits_leave_nothing_behind() -> None:
    views = ToldViewStore()
    async with Bus(LEDGER, view_store=views) as bus:
        views.hold("journal")
        receipt = await bus.send(Deposit("a"))
        waits: tuple[Callable[[], Awaitable[None]], ...] = (lambda: bus.wait_projected(receipt), bus.wait_settled)
        for wait in waits:
            with anyio.move_on_after(1) as scope:
                await wait()
            assert scope.cancelled_caught
        assert not any(one._waiters for one in bus._opened().read.progress.values())
        views.let_go("journal")
        await bus.wait_settled()


async def test_lag_is_told_in_events_and_in_seconds() -> None:
    views = ToldViewStore()
    async with Bus(LEDGER, view_store=views, clock=MovingClock()) as bus:
        await bus.wait_projected(await bus.send(Deposit("a")))
        assert lags(bus.statistics()) == {"balances": (0, 0.0), "journal": (0, 0.0), "notes": (0, 0.0)}
        views.hold("journal")
        for _ in range(3):
            await anyio.sleep(10)
            await bus.send(Deposit("a"))
        await anyio.sleep(5)
        found = lags(bus.statistics())
        assert found["balances"] == (0, 0.0)
        events, seconds = found["journal"]
        # The oldest event that is missing was recorded 25 seconds ago.
        assert events == 3
        assert seconds == pytest.approx(25)
        views.let_go("journal")
        await bus.wait_settled()
        assert lags(bus.statistics())["journal"] == (0, 0.0)


async def test_the_lag_of_a_projection_that_catches_up_is_an_upper_bound_once_anything_is_known() -> None:
    store, views = MemoryEventStore(), ToldViewStore()
    clock = MovingClock()
    async with Bus(LEDGER, event_store=store, clock=clock) as bus:
        for _ in range(4):
            await bus.send(Deposit("a"))
            await anyio.sleep(10)
    limits = Limits(projection_events_max=2)
    async with Bus(LEDGER, event_store=store, view_store=views, limits=limits, clock=clock) as bus:
        views.hold("journal")
        assert lags(bus.statistics())["journal"] == (4, None)
        await views.held("journal")
        views.let_go("journal")
        views.hold("journal")
        await views.held("journal")
        events, seconds = lags(bus.statistics())["journal"]
        assert events == 2
        assert seconds is not None
        assert 20 <= seconds <= 40
        views.let_go("journal")


async def test_an_aggregate_is_loaded_as_recorded_and_one_unknown_is_at_its_beginning() -> None:
    async with Bus(LEDGER, limits=Limits(recover_events_max=2)) as bus:
        for amount in range(1, 6):
            await bus.send(Deposit("a", amount))
        assert await bus.load(ACCOUNT, "a") == Loaded(Account(15), 5)
        assert await bus.load(ACCOUNT, "b") == Loaded(Account(0), 0)
        assert await bus.load(NOTE, "a") == Loaded(Note(), 0)


async def _filled(bus: Bus) -> None:
    """Positions 1, 2, 5 and 6 are account a's, 3 account b's, 4 note n's."""
    for command in (Deposit("a", 1, times=2), Deposit("b"), WriteNote("n"), Deposit("a"), Close("a")):
        await bus.send(command)


def places(events: Sequence[Recorded[Event]]) -> list[tuple[int, str, int]]:
    return [(one.position, one.stream_id, one.version) for one in events]


@pytest.mark.parametrize("page", [1, 2, 3, 4, 6, 7, 100])
async def test_events_are_read_in_order_across_pages_from_a_position_or_a_version(page: int) -> None:
    async with Bus(LEDGER, limits=Limits(page_events_max=page)) as bus:
        await _filled(bus)
        everything = [(1, "a", 1), (2, "a", 2), (3, "b", 1), (4, "n", 1), (5, "a", 3), (6, "a", 4)]
        for after in range(8):
            assert places([one async for one in bus.events(after=after)]) == everything[after:]
        mine = [one for one in everything if one[1] == "a"]
        for version in range(6):
            assert places([one async for one in bus.events("account-a", after=version)]) == mine[version:]
        assert places([one async for one in bus.events("account-c")]) == []
        with pytest.raises(ValueError, match="not be negative"):
            await anext(bus.events(after=-1))


async def test_events_that_are_recorded_while_they_are_read_follow_in_their_place() -> None:
    async with Bus(LEDGER, limits=Limits(page_events_max=2)) as bus:
        await bus.send(Deposit("a", times=2))
        seen: list[int] = []
        async for one in bus.events():
            seen.append(one.position)
            if len(seen) < 10:
                await bus.send(Deposit("a"))
        assert seen == list(range(1, 12))


async def test_an_event_unknown_to_the_application_is_unreadable_after_those_before_it() -> None:
    store = MemoryEventStore()
    async with Bus(LEDGER, event_store=store) as bus:
        await bus.send(Deposit("a"))
        await store.append([Append("other-1", 0, (NewEvent("renamed", b"{}"),), "c", b"")], NOON)
        events = bus.events()
        assert (await anext(events)).position == 1
        with pytest.raises(Unreadable) as caught:
            await anext(events)
        assert (caught.value.stream, caught.value.version, caught.value.position) == ("other-1", 1, 2)


async def test_the_receipt_of_a_repeated_command_can_be_asked_after_at_once() -> None:
    async with Bus(LEDGER) as bus:
        first = await bus.send(Deposit("a", 5), command_id="c-1")
        await bus.send(Deposit("a", 6))
        again = await bus.send(Deposit("a", 5), command_id="c-1")
        assert (again.duplicate, again.position) == (True, first.position)
        assert await bus.query(GetBalance("a"), after=again) in (Balance("a", 5, [1]), Balance("a", 11, [1, 2]))


async def test_a_receipt_of_another_bus_on_the_same_store_can_be_asked_after() -> None:
    store = MemoryEventStore(shared=True)
    async with Bus(LEDGER, event_store=store) as one, Bus(LEDGER, event_store=store) as other:
        receipt = await one.send(Deposit("a", 5))
        assert await other.query(GetBalance("a"), after=receipt) == Balance("a", 5, [1])


async def test_every_refusal_of_a_wait_is_an_error_of_the_bus_with_its_facts() -> None:
    views = ToldViewStore()
    async with Bus(LEDGER, view_store=views) as bus:
        views.hold("journal")
        receipt = await bus.send(Deposit("a"))
        with pytest.raises(BusError) as caught:
            await bus.wait_projected(receipt, timeout=1)
        assert caught.value.code == "projection-timeout"
        assert dict(caught.value.facts) == {"projection": "journal", "position": 1, "at": 0}
        views.let_go("journal")


async def test_the_receipt_of_a_command_that_recorded_nothing_can_be_asked_after() -> None:
    store = MemoryEventStore()
    async with Bus(LEDGER, event_store=store) as bus:
        nothing = await bus.send(Deposit("a", times=0))
        assert await bus.query(GetBalance("a"), after=nothing) is None
        await bus.send(Deposit("a", 5))
        nothing = await bus.send(Deposit("b", times=0))
        assert (nothing.events, nothing.position) == ((), 1)
        assert await bus.query(GetBalance("a"), after=nothing) == Balance("a", 5, [1])
        assert await bus.query(GetBalance("a"), after=nothing.position) == Balance("a", 5, [1])
