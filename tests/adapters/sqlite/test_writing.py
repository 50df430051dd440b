"""A user's transactions in SQLite keep the laws of the port, and end whole or not at all however COMMIT fails."""

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from adapters.sqlite import SqliteViewStore
from adapters.sqlite.errors import CommitInDoubt
from adapters.sqlite.log import Log
from adapters.sqlite.thread import OwnerThread
from adapters.sqlite.turns import Turns
from adapters.sqlite.writing import Writing
from bus.core.errors import StatementFailed, StoreUnavailable, ViewsDropped
from bus.core.transactions import Transaction
from tests.adapters.sqlite.files import FailingConnection, fetch, raw
from tests.contracts.view_store import FIRST, PLAIN, START
from tests.contracts.view_writing import (
    MOVES,
    TALLY,
    TIMEOUT_S,
    LongStatementLaws,
    NewViewStore,
    Opened,
    ViewWritingLaws,
    make,
    put,
)


class TestSqliteWriting(ViewWritingLaws, LongStatementLaws):
    @pytest.fixture
    def new_store(self, tmp_path: Path) -> NewViewStore:
        numbers = itertools.count()
        return lambda: SqliteViewStore(tmp_path / f"{next(numbers)}.db", synchronous="OFF")


async def put_one(transaction: Transaction) -> None:
    await put(transaction, "a", 1)


@asynccontextmanager
async def failing(path: Path) -> AsyncGenerator[tuple[Writing, FailingConnection]]:
    """Transactions on a connection that fails as it is told, to a file with a table of tallies."""
    with raw(path) as connection:
        connection.execute("CREATE TABLE tallies(name text PRIMARY KEY, number integer NOT NULL)")
    turns = Turns(OwnerThread[FailingConnection]("owner", "url"))
    connection = await turns.start(lambda: sqlite3.connect(path, isolation_level=None, factory=FailingConnection))
    yield Writing(turns, connection, Log(connection, path), "url"), connection
    await turns.stop()


@pytest.mark.parametrize("statement", ["BEGIN", "COMMIT"])
async def test_a_full_disk_means_that_nothing_was_written(tmp_path: Path, statement: str) -> None:
    async with failing(tmp_path / "v.db") as (writing, connection):
        connection.fails, connection.code = statement, sqlite3.SQLITE_FULL
        with pytest.raises(StoreUnavailable, match=f"{statement} failed"):
            await writing.run(lambda: True, put_one)
        connection.fails = ""
        assert await writing.run(lambda: True, put_one)
    assert fetch(tmp_path / "v.db", "SELECT * FROM tallies") == [("a", 1)]


async def test_a_full_disk_in_the_middle_is_no_fault_of_the_statement(tmp_path: Path) -> None:
    async def careless(transaction: Transaction) -> None:
        with pytest.raises(StoreUnavailable, match="INSERT failed"):
            await put_one(transaction)
        raise LookupError

    async with failing(tmp_path / "v.db") as (writing, connection):
        connection.fails, connection.code = "INSERT", sqlite3.SQLITE_FULL
        # Whatever is made of it, it was an outage.
        with pytest.raises(StoreUnavailable, match="INSERT failed"):
            await writing.run(lambda: True, careless)


async def test_a_commit_that_failed_to_reach_the_disk_is_in_doubt(tmp_path: Path) -> None:
    async with failing(tmp_path / "v.db") as (writing, connection):
        connection.fails, connection.code = "COMMIT", sqlite3.SQLITE_IOERR_FSYNC
        with pytest.raises(CommitInDoubt, match="COMMIT failed"):
            await writing.run(lambda: True, put_one)
        assert not connection.in_transaction


async def test_a_constraint_that_is_looked_at_only_at_the_end_is_the_statements_fault(tmp_path: Path) -> None:
    async def no_parent(transaction: Transaction) -> None:
        await transaction.execute("INSERT INTO child VALUES ('nobody')")

    async with failing(tmp_path / "v.db") as (writing, connection):
        with raw(tmp_path / "v.db") as other:
            other.execute("CREATE TABLE child(name text REFERENCES tallies(name) DEFERRABLE INITIALLY DEFERRED)")
        await writing._turns.run(lambda: connection.execute("PRAGMA foreign_keys = ON"))
        with pytest.raises(StatementFailed, match="FOREIGN KEY") as caught:
            await writing.run(lambda: True, no_parent)
        assert caught.value.condition == "SQLITE_CONSTRAINT_FOREIGNKEY"
        assert await writing.run(lambda: True, put_one)
    assert fetch(tmp_path / "v.db", "SELECT count(*) FROM child") == [(0,)]


@pytest.mark.parametrize("passes_over", [False, True])
async def test_a_statement_that_rolls_back_by_itself_leaves_nothing_of_what_follows(
    tmp_path: Path, passes_over: bool
) -> None:
    async def work(transaction: Transaction) -> None:
        await put(transaction, "a", 1)
        await transaction.execute(
            "CREATE TEMP TRIGGER t AFTER INSERT ON tallies BEGIN SELECT RAISE(ROLLBACK, 'no'); END"
        )
        try:
            await put(transaction, "b", 2)
        except StatementFailed:
            if not passes_over:
                raise
        with pytest.raises(StatementFailed, match="has failed already"):
            await put(transaction, "c", 3)

    async with SqliteViewStore(tmp_path / "v.db") as store:
        opened = await Opened(store).ready()
        with pytest.raises(StatementFailed, match="refuses a statement"):
            await opened.write(work)
        assert await opened.rows() == []
        assert await opened.checkpoint() == START


async def test_a_locked_file_is_an_outage_and_work_is_not_begun(tmp_path: Path) -> None:
    async def work(transaction: Transaction) -> None:
        raise AssertionError

    async with SqliteViewStore(tmp_path / "v.db", busy_timeout_s=0) as store:
        opened = await Opened(store).ready()
        with raw(tmp_path / "v.db") as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="write lock"):
                await opened.write(work)
        assert await opened.write(put_one)


async def test_views_are_committed_and_read_after_a_transaction_that_holds_them_up(tmp_path: Path) -> None:
    begun, gate = anyio.Event(), anyio.Event()

    async def work(transaction: Transaction) -> None:
        await put_one(transaction)
        begun.set()
        await gate.wait()

    async with SqliteViewStore(tmp_path / "v.db") as store:
        opened = await Opened(store).ready()
        await store.prepare([PLAIN])
        done: list[str] = []

        async def noted(name: str) -> None:
            if name == "commit":
                await store.commit(PLAIN, MOVES)
            else:
                await store.load(PLAIN, ["k"])
            done.append(name)

        async with anyio.create_task_group() as group:
            group.start_soon(opened.write, work)
            await begun.wait()
            for name in ("commit", "load"):
                group.start_soon(noted, name)
            await anyio.wait_all_tasks_blocked()
            assert done == []
            # Snapshots are another connection's affair.
            async with store.snapshot() as reader:
                assert await reader.checkpoint(TALLY) == START
            gate.set()
        assert sorted(done) == ["commit", "load"]
        assert await opened.checkpoint() == FIRST


async def test_cancellation_at_any_step_is_whole_or_nothing_and_gives_the_turn_back(tmp_path: Path) -> None:
    async with SqliteViewStore(tmp_path / "v.db", synchronous="OFF") as store:
        opened = await Opened(store).ready()
        for steps in range(60):
            task = asyncio.ensure_future(opened.write(put_one))
            for _ in range(steps):
                await asyncio.sleep(0.0001)
            task.cancel()
            await asyncio.wait([task])
            checkpoint = await opened.checkpoint()
            rows = fetch(tmp_path / "v.db", "SELECT * FROM tallies")
            assert (checkpoint, rows) in ((START, []), (FIRST, [("a", 1)]))
            if checkpoint == FIRST:
                break
        else:
            raise AssertionError("one of them has had the time to commit")


async def test_a_store_closed_and_opened_again_keeps_tables_and_checkpoint(tmp_path: Path) -> None:
    for _ in range(2):
        async with SqliteViewStore(tmp_path / "v.db") as store:
            opened = Opened(store)
            await opened.sql.set_up(TALLY, make, TIMEOUT_S)
            if (await store.prepare([TALLY]))[TALLY] == START:
                assert await opened.write(put_one)
            assert await opened.rows() == [("a", 1)]


async def test_what_was_dropped_is_written_no_more(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    async with SqliteViewStore(path) as store:
        opened = await Opened(store).ready()
        # As by somebody whose turn came while this one waited for its own.
        await store._opened().run(lambda: store._connection.execute("DELETE FROM projections"))
        with pytest.raises(ViewsDropped, match="no longer there"):
            await opened.write(put_one)
        assert await opened.rows() == []
