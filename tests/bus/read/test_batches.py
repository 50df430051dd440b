"""Batches: each event is handed over once, in order, with the checkpoint; what fails is found, told and stops it."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext

import anyio
import pytest

from bus import (
    Bus,
    Limits,
    MemoryEventStore,
    MemoryViewStore,
    ProjectionStopped,
    Recorded,
    StoreUnavailable,
    Transaction,
)
from bus.read.requests import GONE
from tests.support.ledger import Deposit, Deposited, GetBalance, WriteNote, record
from tests.support.lines import GetLines, Line, LineEvent, Own, bookkeeping, handle, lines
from tests.support.personal import PLANTED
from tests.support.projecting import POISON, of
from tests.support.sql_views import ToldSqlViewStore
from tests.support.telemetry import RecordingTelemetry
from tests.support.views import Fault


class Handler:
    """Writes lines, and fails where an event or a batch is as it is told; remembers what it was given."""

    def __init__(self, *, times: float = float("inf"), events_max: int = 1_000, hangs: bool = False) -> None:
        self.times = times
        self.events_max = events_max
        self.hangs = hangs
        self.given: list[list[int]] = []
        self.begun_at: list[float] = []

    async def handle(self, batch: Sequence[Recorded[LineEvent]], transaction: Transaction) -> None:
        self.given.append([one.position for one in batch])
        self.begun_at.append(anyio.current_time())
        await handle(batch, transaction)
        is_poison = any(isinstance(one.event, Deposited) and one.event.amount == POISON for one in batch)
        if (is_poison or len(batch) > self.events_max) and self.times > 0:
            self.times -= 1
            if self.hangs:
                await anyio.sleep_forever()
            raise ZeroDivisionError(f"a bug in handle of {PLANTED}")


async def of_events(store: MemoryEventStore) -> list[tuple[int, str]]:
    """Position and stream of all that is recorded."""
    async with nullcontext() if store._users else store:
        return [(one.position, one.stream) for one in await store.page(0, 10_000)]


def places(found: Sequence[Line]) -> list[tuple[int, str]]:
    return [(position, stream) for position, stream, _ in found]


async def test_a_query_sees_the_events_of_all_categories_up_to_what_it_asks_for() -> None:
    store, own = MemoryEventStore(), Own()
    async with Bus(bookkeeping(own.reads), event_store=store, view_store=own.views) as bus:
        for number in range(20):
            await bus.send(Deposit(f"a-{number % 3}", number, times=number % 4))
            receipt = await bus.send(WriteNote(f"n-{number % 2}"))
            assert places(await bus.query(GetLines(), after=receipt)) == await of_events(store)
        await bus.wait_settled()
        found = of(bus.statistics(), "lines")
        assert (found.position, found.lag_events, found.stopped) == (await store.head(), 0, None)
        assert found.events == await store.head()


async def test_what_was_handed_over_is_not_handed_over_again_when_the_bus_is_opened_anew() -> None:
    store, own, handler = MemoryEventStore(), Own(), Handler()
    for _ in range(3):
        async with Bus(bookkeeping(own.reads, lines(handler.handle)), event_store=store, view_store=own.views) as bus:
            await bus.send(Deposit("a"))
            await bus.wait_settled()
    assert handler.given == [[1], [2], [3]]
    assert places(own.lines) == await of_events(store)


@pytest.mark.parametrize("faults", [["before"], ["after"], ["refuse"], ["before", "before", "after"]], ids=str)
async def test_whatever_becomes_of_a_commit_each_event_is_in_the_tables_once(faults: list[Fault]) -> None:
    store, own = MemoryEventStore(), Own()
    own.views.faulty = "lines"
    async with Bus(bookkeeping(own.reads), event_store=store, view_store=own.views) as bus:
        for _ in range(3):
            own.views.faults.extend(faults)
            await bus.wait_projected(await bus.send(Deposit("a")))
    assert places(own.lines) == await of_events(store)


async def test_an_event_that_cannot_be_handled_is_retried_and_stops_the_projection_before_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, own, handler, telemetry = MemoryEventStore(), Own(), Handler(), RecordingTelemetry()
    await record(store, *[Deposit("a")] * 6, Deposit("a", POISON), *[Deposit("a")] * 4)
    limits = Limits(projection_attempts_max=3, projection_backoff_s=1)
    application = bookkeeping(own.reads, lines(handler.handle))
    async with Bus(application, event_store=store, view_store=own.views, limits=limits, telemetry=telemetry) as bus:
        with caplog.at_level(logging.WARNING, "doubledecker"), pytest.raises(ProjectionStopped) as caught:
            await bus.wait_projected(11, "lines")
        assert (caught.value.projection, caught.value.position) == ("lines", 11)
        assert "ZeroDivisionError: a bug in handle" in caught.value.reason
        assert "stopped at position 7" in str(caught.value)
        # All that comes before it is there, and nothing of it or after it.
        assert places(own.lines) == (await of_events(store))[:6]
        found = of(bus.statistics(), "lines")
        assert (found.position, found.lag_events, found.attempts) == (6, 5, 3)
        alone = [moment for moment, given in zip(handler.begun_at, handler.given, strict=True) if given == [7]]
        assert [moment - alone[0] for moment in alone] == pytest.approx([0, 1, 3])
        # The others go on.
        assert await bus.query(GetBalance("a"), after=11) is not None
    assert "batch failed and is tried in halves" in caplog.text
    assert telemetry.failures == [("projection", "lines")] * 3


async def test_once_its_code_is_mended_it_goes_on_where_it_stopped() -> None:
    store, own, handler = MemoryEventStore(), Own(), Handler()
    limits = Limits(projection_attempts_max=1)
    application = bookkeeping(own.reads, lines(handler.handle))
    async with Bus(application, event_store=store, view_store=own.views, limits=limits) as bus:
        await bus.send_many([Deposit("a"), Deposit("a", POISON), Deposit("a")])
        with pytest.raises(ProjectionStopped):
            await bus.wait_projected(3)
    handler.times = 0
    async with Bus(application, event_store=store, view_store=own.views, limits=limits) as bus:
        await bus.wait_settled()
    assert places(own.lines) == await of_events(store)


@pytest.mark.parametrize("events_max", [1, 2, 7])
async def test_a_batch_that_fails_as_a_whole_is_handed_over_in_parts(events_max: int) -> None:
    store, own, handler = MemoryEventStore(), Own(), Handler(events_max=events_max)
    await record(store, Deposit("a", times=50))
    application = bookkeeping(own.reads, lines(handler.handle))
    async with Bus(application, event_store=store, view_store=own.views) as bus:
        await bus.wait_settled()
        assert of(bus.statistics(), "lines").stopped is None
    assert places(own.lines) == await of_events(store)


async def test_a_failure_that_passes_costs_no_event() -> None:
    store, own, handler = MemoryEventStore(), Own(), Handler(times=2)
    application = bookkeeping(own.reads, lines(handler.handle))
    async with Bus(application, event_store=store, view_store=own.views) as bus:
        receipt = await bus.send(Deposit("a", POISON))
        assert len(await bus.query(GetLines(), after=receipt)) == 1
        assert of(bus.statistics(), "lines").last_error is None
    assert handler.given == [[1]] * 3


async def test_a_handle_that_does_not_end_is_given_up_and_stops_the_projection() -> None:
    store, own, handler = MemoryEventStore(), Own(), Handler(hangs=True)
    limits = Limits(batch_timeout_s=7, projection_attempts_max=2, projection_backoff_s=1)
    application = bookkeeping(own.reads, lines(handler.handle))
    async with Bus(application, event_store=store, view_store=own.views, limits=limits) as bus:
        start = anyio.current_time()
        receipt = await bus.send(Deposit("a", POISON))
        with pytest.raises(ProjectionStopped, match=r"longer than 7 s, which is Limits.batch_timeout_s"):
            await bus.wait_projected(receipt, "lines")
        assert anyio.current_time() - start == pytest.approx(7 + 1 + 7)
    assert own.lines == []


async def test_an_outage_in_the_middle_of_a_handle_is_waited_for_and_is_no_poison() -> None:
    async def unlucky(batch: Sequence[Recorded[LineEvent]], transaction: Transaction) -> None:
        await handle(batch, transaction)
        if outages:
            outages.pop()
            raise StoreUnavailable("the database is away", store="told")

    outages = [1] * 20
    store, own = MemoryEventStore(), Own()
    limits = Limits(projection_attempts_max=2)
    application = bookkeeping(own.reads, lines(unlucky))
    async with Bus(application, event_store=store, view_store=own.views, limits=limits) as bus:
        assert len(await bus.query(GetLines(), after=await bus.send(Deposit("a")), timeout=1_000)) == 1


async def test_a_statement_that_fails_is_poison_even_where_the_handle_passes_over_it() -> None:
    async def careless(batch: Sequence[Recorded[LineEvent]], transaction: Transaction) -> None:
        await handle(batch, transaction)
        try:
            await transaction.execute("INSERT INTO nowhere VALUES (1)")
        except Exception:
            return

    own = Own()
    limits = Limits(projection_attempts_max=1)
    async with Bus(bookkeeping(own.reads, lines(careless)), view_store=own.views, limits=limits) as bus:
        receipt = await bus.send(Deposit("a"))
        with pytest.raises(ProjectionStopped, match=r"StatementFailed: .*no such table: nowhere"):
            await bus.wait_projected(receipt, "lines")
    assert own.lines == []


async def test_events_of_no_interest_move_the_checkpoint_without_a_transaction() -> None:
    handled: list[int] = []

    async def notes_only(batch: Sequence[Recorded[LineEvent]], transaction: Transaction) -> None:
        handled.extend([one.position for one in batch])

    store, own = MemoryEventStore(), Own()
    projection = lines(notes_only)
    object.__setattr__(projection, "events", projection.events[-1:])
    async with Bus(bookkeeping(own.reads, projection), event_store=store, view_store=own.views) as bus:
        for command in (Deposit("a"), WriteNote("n"), Deposit("a")):
            await bus.send(command)
        await bus.wait_settled()
        assert of(bus.statistics(), "lines").position == 3
    assert handled == [2]


async def test_a_bus_closed_in_the_middle_of_a_handle_leaves_nothing_of_it() -> None:
    store, own, handler = MemoryEventStore(), Own(), Handler(times=1, hangs=True)
    application = bookkeeping(own.reads, lines(handler.handle))
    limits = Limits(shutdown_timeout_s=1)
    async with Bus(application, event_store=store, view_store=own.views, limits=limits) as bus:
        await bus.send(Deposit("a", POISON))
    assert bus.report is not None
    assert bus.report.projections == {"lines": 1}
    assert own.lines == []
    async with Bus(application, event_store=store, view_store=own.views, limits=limits) as bus:
        await bus.wait_settled()
    assert places(own.lines) == [(1, "account-a")]


async def test_a_request_for_dead_letters_is_answered_that_there_are_none() -> None:
    own = Own()
    async with Bus(bookkeeping(own.reads), view_store=own.views) as bus:
        request = await bus.retry_dead_letters("lines")
        assert (request.is_done, request.answer) == (True, "nothing is parked")
        request = await bus.discard_dead_letter("lines:1:7:k", reason="a test")
        assert (request.is_done, request.answer) == (False, GONE)


async def test_of_two_buses_one_hands_over_and_the_other_answers_and_takes_its_place() -> None:
    events, views = MemoryEventStore(shared=True), MemoryViewStore(shared=True)
    one, other = Own(ToldSqlViewStore(views)), Own(ToldSqlViewStore(views))
    other.views.user = one.views.user
    limits = Limits(poll_interval_s=0.1)
    first = Bus(bookkeeping(one.reads), event_store=events, view_store=one.views, limits=limits)
    second = Bus(bookkeeping(other.reads), event_store=events, view_store=other.views, limits=limits)
    async with second:
        async with first:
            receipt = await first.send(Deposit("a"))
            assert len(await first.query(GetLines(), after=receipt)) == 1
            assert len(await second.query(GetLines(), after=receipt)) == 1
            assert of(second.statistics(), "lines").is_here != of(first.statistics(), "lines").is_here
        receipt = await second.send(Deposit("a"))
        assert places(await second.query(GetLines(), after=receipt)) == [(1, "account-a"), (2, "account-a")]
        assert of(second.statistics(), "lines").is_here


async def test_a_holder_that_has_lost_its_lease_meanwhile_writes_nothing() -> None:
    begun, gate = anyio.Event(), anyio.Event()

    async def slow(batch: Sequence[Recorded[LineEvent]], transaction: Transaction) -> None:
        await handle(batch, transaction)
        begun.set()
        with anyio.CancelScope(shield=True):
            await gate.wait()

    events, kept = MemoryEventStore(shared=True), MemoryViewStore(shared=True)
    own = Own(ToldSqlViewStore(kept))
    async with Bus(bookkeeping(own.reads, lines(slow)), event_store=events, view_store=own.views) as bus:
        table = bus._opened().read.projectors["lines"].table
        await bus.send(Deposit("a"))
        await begun.wait()
        own.views.renews = False
        await anyio.sleep(100)
        await kept.claim([table], "somebody", 3_600)
        gate.set()
        await anyio.wait_all_tasks_blocked()
        assert own.lines == []
        await kept.release([table], "somebody")
        own.views.renews = True
        assert len(await bus.query(GetLines(), after=1, timeout=100)) == 1
