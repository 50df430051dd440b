"""What is dropped is out of sight at once and goes bit by bit, also where the process ends in the middle."""

import signal
import sys
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from adapters.sqlite import SqliteViewStore
from adapters.sqlite.builds import ROWS_AT_ONCE, clear_some, drop
from adapters.sqlite.transaction import transaction
from bus.core.builds import Build
from bus.core.errors import Unusable
from bus.core.stored import Checkpoint, StoredView, ViewChanges
from tests.adapters.sqlite.files import fetch, raw
from tests.adapters.sqlite.programs import ROOT
from tests.contracts.view_builds import NEXT, NOON, SECOND
from tests.contracts.view_store import FIRST, PLAIN, START

ROWS = 2 * ROWS_AT_ONCE + 5

DIES = """
import asyncio, os, signal, sys
from adapters.sqlite import SqliteViewStore, builds
from tests.contracts.view_builds import NEXT

calls, clear_some = 0, builds.clear_some

def dies(connection):
    global calls
    calls += 1
    found = clear_some(connection)
    if calls == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return found

async def main():
    async with SqliteViewStore(sys.argv[1]) as store:
        builds.clear_some = dies
        await store.prepare([])
        await store.drop(NEXT)

asyncio.run(main())
"""


async def fill(path: Path) -> None:
    async with SqliteViewStore(path, synchronous="OFF") as store:
        await store.prepare([PLAIN])
        await store.build(NEXT, NOON)
        put = tuple([StoredView(f"{number:04}", b"x", (number,)) for number in range(ROWS)])
        assert await store.commit(NEXT, ViewChanges(START, FIRST, put, ()))
        assert await store.commit(PLAIN, ViewChanges(START, FIRST, (StoredView("k", b"1"),), ()))


def names(path: Path) -> list[str]:
    """Tables and indexes of views."""
    found = fetch(path, "SELECT name FROM sqlite_schema WHERE name LIKE 'view%' ORDER BY name")
    return [name for (name,) in found]


async def test_nothing_is_left_in_the_file_of_what_was_dropped(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    await fill(path)
    assert names(path) == ["view_1_plain_v1", "view_2_plain_v1_b1", "view_2_plain_v1_b1_by_0_size"]
    async with SqliteViewStore(path) as store:
        assert await store.drop(NEXT)
    assert names(path) == ["view_1_plain_v1"]
    assert fetch(path, "SELECT * FROM dropped") == fetch(path, "SELECT * FROM standings") == []


async def test_what_goes_in_one_step_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    await fill(path)
    left: list[tuple[int, int]] = []
    with raw(path) as connection:
        assert drop(connection, NEXT)
        while True:
            with transaction(connection, str(path)):
                if not clear_some(connection):
                    break
            there = [name for name in names(path) if name.startswith("view_2")]
            rows = fetch(path, f"SELECT count(*) FROM {there[0]}")[0][0] if there else 0
            left.append((len(there), rows))
    # An index first, then rows, and the table with the last of them.
    assert left == [(1, ROWS), (1, ROWS - ROWS_AT_ONCE), (1, ROWS - 2 * ROWS_AT_ONCE), (0, 0)]


@pytest.mark.parametrize("step", [1, 2, 3, 4])
async def test_a_process_that_is_killed_after_any_step_leaves_what_the_next_opening_clears(
    tmp_path: Path, step: int
) -> None:
    path = tmp_path / "v.db"
    await fill(path)
    ended = await anyio.run_process([sys.executable, "-c", DIES, str(path), str(step)], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    async with SqliteViewStore(path) as store:
        assert names(path) == ["view_1_plain_v1"]
        assert list(await store.builds()) == [Build(PLAIN, FIRST, "answering", None)]
        assert dict(await store.prepare([PLAIN])) == {PLAIN: FIRST}
        assert dict(await store.load(PLAIN, ["k"])) == {"k": b"1"}


async def test_a_snapshot_that_is_held_meanwhile_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    await fill(path)
    async with SqliteViewStore(path) as store:
        await store.prepare([])
        async with store.snapshot() as reader:
            assert await store.drop(NEXT)
            assert len(await reader.find(NEXT, {}, "size", False, 2 * ROWS)) == ROWS
            assert await reader.checkpoint(NEXT) == FIRST
        async with store.snapshot() as reader:
            with pytest.raises(Unusable, match="were dropped"):
                await reader.get(NEXT, "0001")


async def test_whoever_looked_a_table_up_before_it_was_dropped_is_told_as_well(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    await fill(path)
    async with SqliteViewStore(path) as store:
        await store.prepare([])
        before = store._tables
        assert await store.drop(NEXT)
        store._tables = before
        with pytest.raises(Unusable, match="were dropped"):
            await store.load(NEXT, ["0001"])
        with pytest.raises(Unusable, match="were dropped"):
            await store.commit(NEXT, ViewChanges(FIRST, Checkpoint(8, "store", "a-1", 4), (), ()))
        async with store.snapshot() as reader:
            with pytest.raises(Unusable, match="were dropped"):
                await reader.get(NEXT, "0001")
            with pytest.raises(Unusable, match="were dropped"):
                await reader.checkpoint(NEXT)


async def test_others_have_their_turn_while_much_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    await fill(path)
    turns: list[str] = []
    async with SqliteViewStore(path) as store:
        await store.prepare([PLAIN])

        async def go() -> None:
            await store.drop(NEXT)
            turns.append("dropped")

        async with anyio.create_task_group() as group:
            group.start_soon(go)
            await anyio.lowlevel.checkpoint()
            for number in range(2):
                at, after = (
                    Checkpoint(7 + number, "store", "a-1", 3 + number),
                    Checkpoint(8 + number, "store", "a-1", 4 + number),
                )
                assert await store.commit(PLAIN, ViewChanges(at, after, (), ()))
                turns.append("committed")
    assert turns == ["committed", "committed", "dropped"]


async def test_a_table_that_was_made_anew_is_another_one_than_the_one_that_is_still_going(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    await fill(path)
    with raw(path) as connection:
        assert drop(connection, NEXT)
    async with SqliteViewStore(path) as store:
        await store.build(NEXT, NOON)
        await store.build(SECOND, NOON)
        assert dict(await store.load(NEXT, ["0001"])) == {}
    assert fetch(path, "SELECT projection_key, view_table FROM projections ORDER BY 1") == [
        (1, "view_1_plain_v1"),
        (3, "view_3_plain_v1_b1"),
        (4, "view_4_plain_v2"),
    ]
