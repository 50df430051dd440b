"""A snapshot of a file's views: it sees one committed state, and says so where a table is not what it was."""

import sqlite3
from pathlib import Path

import pytest

from adapters.sqlite import SqliteViewStore
from adapters.sqlite.view_reader import gone, indexed
from adapters.sqlite.view_schema import table_of
from bus.core.errors import Unusable, ViewsDropped
from bus.core.stored import StoredView, ViewChanges, ViewTable
from tests.contracts.view_store import BOARD, FIRST, PLAIN, START


async def test_a_snapshot_sees_nothing_of_what_is_committed_after_it_was_taken(tmp_path: Path) -> None:
    async with SqliteViewStore(tmp_path / "views.db") as store:
        await store.prepare([PLAIN])
        async with store.snapshot() as reader:
            assert await store.commit(PLAIN, ViewChanges(START, FIRST, (StoredView("k", b"1"),), ()))
            assert await reader.get(PLAIN, "k") is None
            assert await reader.checkpoint(PLAIN) == START


def test_a_table_is_found_where_it_is_indexed_as_its_user_takes_it_to_be() -> None:
    held = table_of(1, BOARD)
    assert indexed({BOARD.place: held}, BOARD, "sqlite:x") is held
    with pytest.raises(Unusable, match="are indexed by"):
        indexed({BOARD.place: held}, ViewTable("board", 1), "sqlite:x")
    with pytest.raises(ViewsDropped, match="no longer there"):
        indexed({}, BOARD, "sqlite:x")


def test_a_table_that_is_not_there_any_more_was_dropped() -> None:
    assert isinstance(gone(sqlite3.OperationalError("no such table: view_1"), PLAIN, "sqlite:x"), ViewsDropped)
    assert gone(sqlite3.OperationalError("database is locked"), PLAIN, "sqlite:x") is None
