"""Views get other indexes in one transaction: a process that dies in the middle leaves the old ones."""

import signal
import sys
from pathlib import Path

import anyio
import pytest

from adapters.sqlite import SqliteViewStore
from bus.core.errors import Unusable
from bus.core.stored import StoredView, ViewChanges
from tests.adapters.sqlite.files import fetch
from tests.adapters.sqlite.programs import ROOT
from tests.contracts.view_reindexing import NEW, OLD, new_values
from tests.contracts.view_store import FIRST, START

VIEWS = 300

DIES = """
import asyncio, os, signal, sys
from adapters.sqlite import SqliteViewStore
from tests.contracts.view_reindexing import NEW, new_values

calls = 0

def values(payload):
    global calls
    calls += 1
    if calls == 250:
        os.kill(os.getpid(), signal.SIGKILL)
    return new_values(payload)

async def main():
    async with SqliteViewStore(sys.argv[1]) as store:
        await store.prepare([NEW])
        await store.reindex(NEW, values, 10)

asyncio.run(main())
"""


async def fill(path: Path) -> None:
    async with SqliteViewStore(path) as store:
        await store.prepare([OLD])
        put = tuple([StoredView(f"{number:04}", b"x" * number, (number,)) for number in range(VIEWS)])
        assert await store.commit(OLD, ViewChanges(START, FIRST, put, ()))


async def test_a_process_that_is_killed_in_the_middle_leaves_the_old_indexes(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    await fill(path)
    ended = await anyio.run_process([sys.executable, "-c", DIES, str(path)], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    async with SqliteViewStore(path) as store:
        assert dict(await store.prepare([OLD])) == {OLD: FIRST}
        async with store.snapshot() as reader:
            assert len(await reader.find(OLD, {}, "size", False, 999)) == VIEWS
        await store.reindex(NEW, new_values, 10)
        async with store.snapshot() as reader:
            assert len(await reader.find(NEW, {}, "text", False, 999)) == VIEWS


async def test_a_snapshot_that_is_held_meanwhile_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    await fill(path)
    async with SqliteViewStore(path) as store:
        await store.prepare([OLD])
        async with store.snapshot() as old:
            await store.reindex(NEW, new_values, 10)
            assert len(await old.find(OLD, {}, "size", False, 999)) == VIEWS
        async with store.snapshot() as new:
            assert len(await new.find(NEW, {}, "text", False, 999)) == VIEWS


async def test_only_the_new_table_is_left_under_another_name(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    await fill(path)
    async with SqliteViewStore(path) as store:
        await store.prepare([OLD])
        await store.reindex(NEW, new_values, 10)
    names = [name for (name,) in fetch(path, "SELECT name FROM sqlite_schema WHERE name LIKE 'view%' ORDER BY name")]
    assert names == ["view_2_rows_v1", "view_2_rows_v1_by_0_text", "view_2_rows_v1_by_1_size"]
    assert fetch(path, "SELECT projection_key, view_table, indexes FROM projections") == [
        (2, "view_2_rows_v1", '["text","size"]')
    ]


async def test_a_number_beyond_64_bits_is_told_and_nothing_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    await fill(path)
    async with SqliteViewStore(path) as store:
        await store.prepare([OLD])
        with pytest.raises(Unusable, match="the view '0000' of 'rows' version 1 cannot be indexed"):
            await store.reindex(NEW, lambda payload: ("", 2**70), 10)
        async with store.snapshot() as reader:
            assert len(await reader.find(OLD, {}, "size", False, 999)) == VIEWS
