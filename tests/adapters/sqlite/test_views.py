"""The view store in SQLite keeps the laws of its port, and its snapshots always come back."""

import asyncio
import itertools
import sqlite3
from pathlib import Path

import anyio
import pytest

from adapters.sqlite import SqliteViewStore
from adapters.sqlite.view_schema import table_of
from adapters.sqlite.views import loaded
from bus.core.errors import StoreUnavailable
from bus.core.stored import Checkpoint, StoredView, ViewChanges, ViewTable
from tests.adapters.sqlite.files import raw
from tests.contracts.letters import LetterLaws
from tests.contracts.view_builds import ViewBuildLaws
from tests.contracts.view_finding import ViewFindingLaws
from tests.contracts.view_reindexing import ViewReindexingLaws
from tests.contracts.view_store import BOARD, FIRST, PLAIN, START, NewViewStore, ViewStoreLaws

KEY = (StoredView("k", b"1"),)


class TestSqliteViewStore(ViewStoreLaws, ViewFindingLaws, ViewReindexingLaws, ViewBuildLaws, LetterLaws):
    @pytest.fixture
    def new_store(self, tmp_path: Path) -> NewViewStore:
        numbers = itertools.count()
        return lambda: SqliteViewStore(tmp_path / f"{next(numbers)}.db", synchronous="OFF")


async def test_more_snapshots_than_connections_wait_for_one(tmp_path: Path) -> None:
    async with SqliteViewStore(tmp_path / "v.db", readers_max=2) as store:
        await store.prepare([PLAIN])

        async def look() -> None:
            async with store.snapshot() as reader:
                assert await reader.get(PLAIN, "k") is None

        async with store.snapshot(), anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(look)


async def test_snapshots_that_are_held_keep_no_projector_from_its_views(tmp_path: Path) -> None:
    async with SqliteViewStore(tmp_path / "v.db", readers_max=1) as store:
        await store.prepare([PLAIN])
        async with store.snapshot():
            assert await store.commit(PLAIN, ViewChanges(START, FIRST, KEY, ()))
            assert await store.load(PLAIN, ["k"]) == {"k": b"1"}
            assert await store.prepare([PLAIN]) == {PLAIN: FIRST}


async def test_cancellation_at_any_step_of_a_snapshot_gives_its_connection_back(tmp_path: Path) -> None:
    async with SqliteViewStore(tmp_path / "v.db", readers_max=1) as store:
        await store.prepare([PLAIN])
        await store.commit(PLAIN, ViewChanges(START, FIRST, KEY, ()))

        async def look() -> bytes | None:
            async with store.snapshot() as reader:
                return await reader.get(PLAIN, "k")

        for steps in range(15):
            task = asyncio.ensure_future(look())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert await look() == b"1"


async def test_a_snapshot_given_up_holds_nothing_back(tmp_path: Path) -> None:
    async with SqliteViewStore(tmp_path / "v.db", readers_max=2) as store:
        await store.prepare([PLAIN])
        with anyio.CancelScope() as scope:
            async with store.snapshot():
                scope.cancel()
                await anyio.sleep_forever()
        async with store.snapshot():
            pass
        await store.commit(PLAIN, ViewChanges(START, FIRST, KEY, ()))
        with raw(tmp_path / "v.db") as other:
            # Busy would mean that a reader still needs the log.
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


async def test_a_locked_file_writes_neither_rows_nor_checkpoint(tmp_path: Path) -> None:
    async with SqliteViewStore(tmp_path / "v.db", busy_timeout_s=0) as store:
        await store.prepare([PLAIN])
        with raw(tmp_path / "v.db") as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="write lock"):
                await store.commit(PLAIN, ViewChanges(START, FIRST, KEY, ()))
            assert dict(await store.load(PLAIN, ["k"])) == {}
        assert await store.commit(PLAIN, ViewChanges(START, FIRST, KEY, ()))


async def test_a_value_that_sqlite_cannot_hold_writes_neither_rows_nor_checkpoint(tmp_path: Path) -> None:
    async with SqliteViewStore(tmp_path / "v.db") as store:
        await store.prepare([BOARD])
        views = (StoredView("a", b"1", ("EWR", 1)), StoredView("b", b"1", ("EWR", 2**70)))
        with pytest.raises(ValueError, match="too large") as caught:
            await store.commit(BOARD, ViewChanges(START, FIRST, views, ()))
        assert not isinstance(caught.value.__cause__, sqlite3.OperationalError)
        assert dict(await store.prepare([BOARD])) == {BOARD: START}
        assert dict(await store.load(BOARD, ["a", "b"])) == {}


async def test_a_commit_whose_caller_gave_up_is_whole_or_absent(tmp_path: Path) -> None:
    async with SqliteViewStore(tmp_path / "v.db") as store:
        await store.prepare([PLAIN])
        with anyio.CancelScope() as scope:
            scope.cancel()
            await store.commit(PLAIN, ViewChanges(START, FIRST, KEY, ()))
        checkpoint = (await store.prepare([PLAIN]))[PLAIN]
        assert dict(await store.load(PLAIN, ["k"])) == ({"k": b"1"} if checkpoint == FIRST else {})
        assert checkpoint in (START, FIRST, Checkpoint())


def test_views_that_are_too_long_for_one_row_are_read_in_several() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    table = table_of(1, ViewTable("rows", 1))
    for step in table.create():
        connection.execute(step)
    views = {f"key {number}": bytes([number]) * 400 for number in range(7)}
    connection.executemany('INSERT INTO "view_1_rows_v1" VALUES (?, ?)', list(views.items()))
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000)
    assert loaded(connection, table, [*views, "another"]) == views
    connection.execute("DELETE FROM view_1_rows_v1")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100)
    with pytest.raises(sqlite3.DataError, match="too big"):
        loaded(connection, table, ["x" * 200])
    connection.close()
