"""Reading tables that batch projections write: queries wait for them, watchers hear of them, setups make them."""

from collections.abc import Sequence
from contextlib import aclosing

import anyio
import pytest

from bus import (
    PARK,
    Application,
    BatchProjection,
    Bus,
    DefinitionError,
    Limits,
    MemoryEventStore,
    MemoryViewStore,
    ProjectionStopped,
    ProjectionTimeout,
    Query,
    Recorded,
    Transaction,
    Unusable,
    Views,
)
from tests.support.ledger import ACCOUNT, NOTE, Balance, Deposit, WriteNote, balances, record
from tests.support.lines import GetLines, LineEvent, Own, bookkeeping, handle, lines, set_up
from tests.support.projecting import of


async def test_a_query_is_asked_only_when_the_tables_hold_what_it_asks_for() -> None:
    own = Own()
    async with Bus(bookkeeping(own.reads), view_store=own.views) as bus:
        own.views.hold("lines")
        receipt = await bus.send(Deposit("a"))
        await bus.wait_projected(receipt, "balances", "journal")
        with pytest.raises(ProjectionTimeout):
            await bus.query(GetLines(), after=receipt, timeout=3)
        assert own.asked == 0
        own.views.let_go("lines")
        assert len(await bus.query(GetLines(), after=receipt)) == 1


async def test_a_query_is_told_at_once_that_the_tables_will_not_hold_what_it_asks_for() -> None:
    async def fail(batch: Sequence[Recorded[LineEvent]], transaction: Transaction) -> None:
        raise ZeroDivisionError

    own = Own()
    limits = Limits(projection_attempts_max=1)
    async with Bus(bookkeeping(own.reads, lines(fail)), view_store=own.views, limits=limits) as bus:
        receipt = await bus.send(Deposit("a"))
        with pytest.raises(ProjectionStopped, match="ZeroDivisionError"):
            await bus.query(GetLines(), after=receipt)
        assert own.asked == 0
        # Without a position it is answered from what there is.
        assert await bus.query(GetLines()) == []


class GetBoth(Query[tuple[int, int]]):
    """Lines, and the balance of an account."""


@pytest.mark.parametrize("late", ["lines", "balances"])
async def test_a_handler_that_reads_views_and_tables_waits_for_both(late: str) -> None:
    own = Own()

    async def both(query: GetBoth, views: Views) -> tuple[int, int]:
        balance = await views.get(Balance, "a")
        return len(own.lines), 0 if balance is None else balance.balance

    projection = BatchProjection(name="lines", version=1, handle=handle, setup=set_up, answers=(GetBoth,))
    application = Application(
        deciders=[ACCOUNT, NOTE], projections=[projection, balances(on_poison=PARK)], query_handlers=[both]
    )
    async with Bus(application, view_store=own.views) as bus:
        assert await bus.query(GetBoth()) == (0, 0)
        own.views.hold(late)
        receipt = await bus.send(Deposit("a", 5))
        with pytest.raises(ProjectionTimeout, match=late):
            await bus.query(GetBoth(), after=receipt, timeout=3)
        own.views.let_go(late)
        assert await bus.query(GetBoth(), after=receipt) == (1, 5)


async def test_a_watcher_hears_of_each_commit_of_the_tables_it_reads() -> None:
    own = Own()
    async with Bus(bookkeeping(own.reads), view_store=own.views) as bus:
        seen: list[tuple[int, int]] = []
        async with aclosing(bus.watch(GetLines())) as answers:
            async for answer in answers:
                seen.append((len(answer.value), answer.position))
                if len(seen) == 4:
                    break
                await bus.send(WriteNote("n"))
    assert seen == [(0, 0), (1, 1), (2, 2), (3, 3)]


async def test_a_watcher_is_told_when_the_projection_of_its_tables_stops() -> None:
    async def fail(batch: Sequence[Recorded[LineEvent]], transaction: Transaction) -> None:
        raise ZeroDivisionError

    async def watch(bus: Bus) -> None:
        async for _ in bus.watch(GetLines()):
            await bus.send(Deposit("a"))

    own = Own()
    limits = Limits(projection_attempts_max=1)
    async with Bus(bookkeeping(own.reads, lines(fail)), view_store=own.views, limits=limits) as bus:
        with pytest.raises(ProjectionStopped, match="ZeroDivisionError"):
            await watch(bus)


async def test_a_view_store_without_sql_is_refused_before_it_is_opened() -> None:
    class Untouched(MemoryEventStore):
        async def __aenter__(self) -> "Untouched":
            raise AssertionError

    with pytest.raises(DefinitionError, match=r"cannot keep the tables of the batch projections lines: .*no SQL"):
        async with Bus(bookkeeping(Own().reads), event_store=Untouched(), view_store=MemoryViewStore()):
            pass


async def test_tables_are_there_before_the_first_event() -> None:
    own = Own()
    async with Bus(bookkeeping(own.reads), view_store=own.views) as bus:
        assert await bus.query(GetLines()) == []


async def test_tables_are_set_up_once_for_each_version_and_read_all_events_then() -> None:
    made: list[int] = []

    def projection(version: int) -> BatchProjection[LineEvent]:
        async def setup(transaction: Transaction) -> None:
            made.append(version)
            await transaction.execute("DROP TABLE IF EXISTS lines")
            await set_up(transaction)

        return BatchProjection(name="lines", version=version, handle=handle, setup=setup, answers=(GetLines,))

    store, own = MemoryEventStore(), Own()
    await record(store, *[Deposit("a")] * 3)
    for version in (1, 1, 2, 2):
        application = bookkeeping(own.reads, projection(version))
        async with Bus(application, event_store=store, view_store=own.views) as bus:
            await bus.wait_settled()
            assert len(await bus.query(GetLines())) == 3
    assert made == [1, 2]


@pytest.mark.parametrize("ending", ["raises", "hangs", "fails"])
async def test_a_setup_that_does_not_work_keeps_the_bus_closed_and_leaves_nothing(ending: str) -> None:
    broken = [1]

    async def setup(transaction: Transaction) -> None:
        await set_up(transaction)
        if not broken:
            return
        if ending == "raises":
            raise ZeroDivisionError("a bug in setup")
        if ending == "hangs":
            await anyio.sleep_forever()
        await transaction.execute("CREATE TABEL lines2")

    own = Own()
    projection = BatchProjection(name="lines", version=1, handle=handle, setup=setup, answers=(GetLines,))
    application = bookkeeping(own.reads, projection)
    with pytest.raises(Unusable, match="tables of batch projection 'lines' version 1 cannot be set up"):
        async with Bus(application, view_store=own.views, limits=Limits(batch_timeout_s=5)):
            pass
    broken.clear()
    async with Bus(application, view_store=own.views) as bus:
        assert len(await bus.query(GetLines(), after=await bus.send(Deposit("a")))) == 1


async def test_a_name_or_the_projection_itself_may_be_waited_for() -> None:
    own, projection = Own(), lines()
    async with Bus(bookkeeping(own.reads, projection), view_store=own.views) as bus:
        receipt = await bus.send(Deposit("a"))
        await bus.wait_projected(receipt, projection)
        await bus.wait_projected(receipt, "lines")
        assert len(own.lines) == 1
        assert of(bus.statistics(), "lines").batches == 1
