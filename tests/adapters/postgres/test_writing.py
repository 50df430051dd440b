"""A user's transactions in PostgreSQL keep the laws of the port, whoever is paused, cut off or in each other's way."""

from collections.abc import Callable

import anyio
import pytest

from adapters.postgres import PostgresViewStore
from adapters.postgres.errors import InDoubt
from bus.core.errors import StatementFailed, StoreUnavailable, Unusable
from bus.core.stored import Checkpoint, ViewChanges
from bus.core.transactions import Transaction
from tests.adapters.postgres.conftest import Sql
from tests.adapters.postgres.databases import schema_of
from tests.contracts.view_store import FIRST, START
from tests.contracts.view_writing import (
    MOVES,
    OTHER,
    SECOND,
    TALLY,
    LongStatementLaws,
    NewViewStore,
    Opened,
    ViewWritingLaws,
    make,
    put,
    read,
)
from tests.support.proxy import proxy

NewUrl = Callable[[], str]
HOUR_S = 3_600.0


class TestPostgresWriting(ViewWritingLaws, LongStatementLaws):
    @pytest.fixture
    def new_store(self, new_url: NewUrl) -> NewViewStore:
        return lambda: PostgresViewStore(new_url())


async def put_one(transaction: Transaction) -> None:
    await put(transaction, "a", 1)


async def test_a_connection_cut_at_any_byte_leaves_all_or_nothing_and_says_what_is_certain(new_url: NewUrl) -> None:
    async def count(transaction: Transaction) -> None:
        await transaction.execute("UPDATE tallies SET number = number + 1")

    url, outcomes = new_url(), set[tuple[type[Exception], bool]]()
    async with proxy(url) as between, PostgresViewStore(between.url) as store, PostgresViewStore(url) as direct:
        opened, other = await Opened(store).ready(), await Opened(direct).ready()
        assert await opened.write(put_one)
        at, number, size, back = FIRST, 1, 0, 0
        for round_number in range(1, 40):
            # The first of two is prepared; after that such a transaction has always the same number of bytes.
            for is_cut in (False, True):
                after = Checkpoint(at.position + 1, "s", "a-1", 1)
                sent, received = between.to_server, between.to_client
                if is_cut and round_number > 1:
                    if round_number < 25:
                        between.cut_after(max(1, size - 1 - size * (round_number - 2) // 23))
                    else:
                        between.cut_after(max(1, back - 1 - back * (round_number - 25) // 15), to_server=False)
                failure: type[Exception] | None = None
                try:
                    assert await opened.write(count, ViewChanges(at, after, (), ()))
                except (StoreUnavailable, InDoubt) as error:
                    failure = type(error)
                between.release()
                if round_number == 1 and is_cut:
                    size, back = between.to_server - sent, between.to_client - received
                if failure is InDoubt:
                    # The server may still be about to commit: whoever tries again waits for that.
                    was_done = not await other.write(count, ViewChanges(at, after, (), ()))
                    outcomes.add((failure, was_done))
                    at, number = after, number + 1
                elif failure is not None:
                    assert await other.checkpoint() == at
                    outcomes.add((failure, False))
                else:
                    at, number = after, number + 1
                assert (await other.checkpoint(), await other.rows()) == (at, [("a", number)])
    assert outcomes >= {(StoreUnavailable, False), (InDoubt, True)}


async def test_a_lease_is_renewed_and_lost_while_statements_run(new_url: NewUrl) -> None:
    url = new_url()
    async with PostgresViewStore(url, writers_max=1) as one, PostgresViewStore(url) as two:
        first, second = await Opened(one).ready(), await Opened(two).ready()
        old = (await one.claim([TALLY, OTHER], "first", 0.0))[TALLY]

        async def lose(transaction: Transaction) -> None:
            await put_one(transaction)
            with anyio.fail_after(30):
                assert (await one.claim([TALLY, OTHER], "first", 0.0))[TALLY] == old
                assert (await two.claim([TALLY, OTHER], "second", HOUR_S))[TALLY].epoch == old.epoch + 1

        assert not await first.write(lose, ViewChanges(START, FIRST, (), (), old.epoch))
        assert await second.write(put_one, ViewChanges(START, FIRST, (), (), old.epoch + 1))
        assert not await first.write(put_one, ViewChanges(FIRST, SECOND, (), (), old.epoch))
        assert await second.checkpoint() == FIRST


async def test_of_two_that_write_on_one_checkpoint_one_does(new_url: NewUrl) -> None:
    url, outcomes = new_url(), list[bool]()
    both_begun = anyio.Event()
    begun: list[int] = []

    async def work(transaction: Transaction) -> None:
        begun.append(1)
        if len(begun) == 2:
            both_begun.set()
        await both_begun.wait()
        await transaction.execute("UPDATE tallies SET number = number + 1")

    async with PostgresViewStore(url) as one, PostgresViewStore(url) as two:
        first, second = await Opened(one).ready(), await Opened(two).ready()
        assert await first.write(put_one)

        async def write(opened: Opened) -> None:
            outcomes.append(await opened.write(work, ViewChanges(FIRST, SECOND, (), ())))

        async with anyio.create_task_group() as group:
            group.start_soon(write, first)
            group.start_soon(write, second)
        assert sorted(outcomes) == [False, True]


async def test_who_is_paused_in_the_middle_is_ended_by_the_server_and_hinders_nobody_for_longer(
    new_url: NewUrl,
) -> None:
    url = new_url()
    async with PostgresViewStore(url) as one, PostgresViewStore(url) as two:
        first, second = await Opened(one).ready(), await Opened(two).ready()

        async def pause(transaction: Transaction) -> None:
            await put_one(transaction)
            with anyio.fail_after(60):
                # Waits for the row of the same name until the server ends whoever holds it.
                assert await second.write(put_one)
            await put(transaction, "b", 2)

        with pytest.raises(StoreUnavailable):
            await first.write(pause, timeout_s=0.3)
        assert await second.rows() == [("a", 1)]


async def test_tables_are_made_in_the_schema_of_the_store(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()
    async with PostgresViewStore(url) as store:
        opened = await Opened(store).ready()
        assert await opened.write(put_one)
    assert [tuple(row) for row in await sql(f"SELECT * FROM {schema_of(url)}.tallies")] == [("a", 1)]


async def test_a_lock_that_is_not_to_be_had_is_an_outage(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()

    async def impatient(transaction: Transaction) -> None:
        await transaction.execute("SET LOCAL lock_timeout = '50ms'")
        await put_one(transaction)

    async with PostgresViewStore(url) as store:
        opened = await Opened(store).ready()
        await sql("BEGIN")
        await sql(f"LOCK TABLE {schema_of(url)}.tallies")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            await opened.write(impatient)
        await sql("ROLLBACK")
        assert await opened.write(impatient)


async def test_a_statement_that_the_server_cancels_for_its_length_is_the_statements_fault(new_url: NewUrl) -> None:
    async def slow(transaction: Transaction) -> None:
        await transaction.execute("SET LOCAL statement_timeout = '50ms'")
        await transaction.fetch("SELECT pg_sleep(60)")

    async with PostgresViewStore(new_url()) as store:
        opened = await Opened(store).ready()
        with pytest.raises(StatementFailed, match="statement timeout") as caught:
            await opened.write(slow)
        assert caught.value.condition == "57014"


async def test_a_statement_that_is_not_answered_in_time_is_an_outage(new_url: NewUrl) -> None:
    async def slow(transaction: Transaction) -> None:
        await transaction.fetch("SELECT pg_sleep(60)")

    async with PostgresViewStore(new_url(), timeout_s=2) as store:
        opened = await Opened(store).ready()
        with pytest.raises(StoreUnavailable, match="no answer in time"):
            await opened.write(slow)
        assert await opened.write(put_one)


async def test_a_constraint_that_is_looked_at_only_at_the_end_is_the_statements_fault(new_url: NewUrl) -> None:
    async def deferred(transaction: Transaction) -> None:
        await transaction.execute("ALTER TABLE tallies ADD UNIQUE (number) DEFERRABLE INITIALLY DEFERRED")
        await put(transaction, "a", 1)
        await put(transaction, "b", 1)

    async with PostgresViewStore(new_url()) as store:
        opened = await Opened(store).ready()
        with pytest.raises(StatementFailed, match="unique constraint") as caught:
            await opened.write(deferred)
        assert caught.value.condition == "23505"
        assert await opened.checkpoint() == START


async def test_what_fails_costs_no_connection(new_url: NewUrl, sql: Sql) -> None:
    async def fail(transaction: Transaction) -> None:
        await put(transaction, "a", 1)
        await transaction.execute("this is no SQL")

    async def raise_it(transaction: Transaction) -> None:
        await put(transaction, "a", 1)
        raise LookupError

    url = new_url()
    query = "SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY pid"
    async with PostgresViewStore(f"{url}&application_name={schema_of(url)}") as store:
        opened = await Opened(store).ready()
        sessions = await sql(query, schema_of(url))
        for work, error in ((fail, StatementFailed), (raise_it, LookupError)):
            with pytest.raises(error):
                await opened.write(work)
            assert await sql(query, schema_of(url)) == sessions
        assert await opened.rows() == []


async def test_what_was_dropped_is_written_no_more(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()
    async with PostgresViewStore(url) as store:
        opened = await Opened(store).ready()
        await sql(f"DELETE FROM {schema_of(url)}.projections WHERE projection = 'tally'")
        with pytest.raises(Unusable, match="no longer there"):
            await opened.write(put_one)


async def test_of_ten_processes_that_open_at_once_one_sets_up(new_url: NewUrl) -> None:
    url, done = new_url(), list[int]()

    async def work(transaction: Transaction) -> None:
        await make(transaction)
        done.append(1)

    async def set_up() -> None:
        async with PostgresViewStore(url) as store:
            await store.set_up(TALLY, work, 60)
            assert dict(await store.prepare([TALLY])) == {TALLY: START}

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(set_up)
    assert done == [1]


async def test_rows_come_as_plain_tuples(new_url: NewUrl) -> None:
    async def work(transaction: Transaction) -> None:
        await put_one(transaction)
        assert [type(row) for row in await read(transaction)] == [tuple]

    async with PostgresViewStore(new_url()) as store:
        opened = await Opened(store).ready()
        assert await opened.write(work, MOVES)


@pytest.mark.parametrize("stream", ["it's-1", "a\\'-1", "{schema}-$1", "\\-'; ROLLBACK; --", "ü\n-\t", "E'-$10"])
async def test_a_checkpoint_is_kept_whatever_the_stream_is_called(new_url: NewUrl, stream: str) -> None:
    odd = Checkpoint(7, stream[::-1], stream, 2**62)
    async with PostgresViewStore(new_url()) as store:
        opened = await Opened(store).ready()
        assert await opened.write(put_one, ViewChanges(START, odd, (), ()))
        assert await opened.checkpoint() == odd
        assert await opened.write(read_all, ViewChanges(odd, SECOND, (), ()))
        assert not await opened.write(read_all, ViewChanges(odd, SECOND, (), ()))
        assert await opened.checkpoint() == SECOND


async def read_all(transaction: Transaction) -> None:
    assert await read(transaction) == [("a", 1)]
