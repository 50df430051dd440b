"""The pool of readers: bounded, and whole again after cancellation and errors."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from adapters.sqlite.readers import Readers
from bus.core.errors import StoreUnavailable
from tests.adapters.sqlite.files import raw

SLOW = """
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT count(*) FROM n
"""


@asynccontextmanager
async def _readers(path: Path, connections_max: int) -> AsyncIterator[Readers]:
    with raw(path) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)")
    readers = Readers(path.as_uri(), "sqlite:///x", connections_max)
    try:
        yield readers
    finally:
        await readers.close()


async def test_rows_are_fetched(tmp_path: Path) -> None:
    async with _readers(tmp_path / "x.db", 2) as readers:
        assert await readers.fetch("SELECT a FROM t WHERE a > ? ORDER BY a", (0,)) == [(1,), (2,)]


async def test_readers_cannot_write(tmp_path: Path) -> None:
    async with _readers(tmp_path / "x.db", 2) as readers:
        with pytest.raises(StoreUnavailable, match="readonly"):
            await readers.fetch("INSERT INTO t VALUES (3)")
        assert await readers.fetch("SELECT count(*) FROM t") == [(2,)]


async def test_connections_are_kept_and_bounded(tmp_path: Path) -> None:
    before = threading.active_count()
    async with _readers(tmp_path / "x.db", 2) as readers:
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(readers.fetch, "SELECT count(*) FROM t")
        assert threading.active_count() - before == 2
        async with readers.lease() as first:
            pass
        async with readers.lease() as again:
            assert again is first


async def test_who_comes_when_all_are_in_use_waits_for_one(tmp_path: Path) -> None:
    async with _readers(tmp_path / "x.db", 1) as readers:
        async with readers.lease():
            waiting = asyncio.ensure_future(readers.fetch("SELECT 7"))
            await anyio.wait_all_tasks_blocked()
            assert not waiting.done()
        assert await waiting == [(7,)]


async def test_a_cancelled_query_is_interrupted_and_its_place_is_free_again(tmp_path: Path) -> None:
    async with _readers(tmp_path / "x.db", 1) as readers:
        slow = asyncio.ensure_future(readers.fetch(SLOW))
        await anyio.wait_all_tasks_blocked()
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert await readers.fetch("SELECT 7") == [(7,)]


async def test_cancellation_at_any_step_leaves_the_pool_whole(tmp_path: Path) -> None:
    async with _readers(tmp_path / "x.db", 1) as readers:
        for steps in range(12):
            task = asyncio.ensure_future(readers.fetch("SELECT 7"))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert await readers.fetch("SELECT 7") == [(7,)]


async def test_a_connection_that_opens_after_its_user_has_gone_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def noting(*args: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **options))
        return opened[-1]

    async with _readers(tmp_path / "x.db", 1) as readers:
        monkeypatch.setattr(sqlite3, "connect", noting)
        for steps in range(12):
            task = asyncio.ensure_future(readers.fetch("SELECT 7"))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
    assert opened
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


async def test_an_error_in_the_body_passes_and_the_pool_goes_on(tmp_path: Path) -> None:
    async with _readers(tmp_path / "x.db", 1) as readers:

        async def fail() -> None:
            async with readers.lease() as connection:
                await connection.executescript("BEGIN; SELECT 1 FROM t")
                raise KeyError

        with pytest.raises(KeyError):
            await fail()
        async with readers.lease() as connection:
            assert not connection.in_transaction


async def test_a_file_that_cannot_be_opened_is_an_unavailable_store(tmp_path: Path) -> None:
    readers = Readers(f"{(tmp_path / 'none.db').as_uri()}?mode=ro", "sqlite:///x", 1)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="unable to open"):
            await readers.fetch("SELECT 1")
    await readers.close()


async def test_closing_ends_those_in_use_too(tmp_path: Path) -> None:
    async with _readers(tmp_path / "x.db", 2) as readers:
        async with readers.lease():
            await readers.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await readers.fetch("SELECT 1")
