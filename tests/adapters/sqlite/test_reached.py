"""Checkpoints of a view file are read beside the bus that writes it."""

from pathlib import Path

import pytest

from adapters.sqlite import SqliteEventStore, SqliteViewStore
from adapters.sqlite.reached import reached
from bus import Bus
from bus.core.errors import StoreUnavailable
from bus.core.stored import ViewChanges
from tests.adapters.sqlite.test_view_schema import VERSIONS, golden
from tests.contracts.view_builds import NEXT, NOON
from tests.contracts.view_store import FIRST, PLAIN, START
from tests.support.ledger import LEDGER, Deposit


async def test_positions_are_read_while_the_store_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "views.db"
    events, views = SqliteEventStore(tmp_path / "events.db"), SqliteViewStore(path)
    async with Bus(LEDGER, event_store=events, view_store=views) as bus:
        await bus.wait_projected(await bus.send(Deposit("a", times=3)))
        assert await reached(path) == {("balances", 1): 3, ("journal", 1): 3, ("notes", 1): 3}


async def test_a_file_that_is_not_there_has_reached_nothing_and_stays_away(tmp_path: Path) -> None:
    assert await reached(tmp_path / "views.db") == {}
    assert not (tmp_path / "views.db").exists()


async def test_a_file_that_is_no_view_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "views.db").write_bytes(b"nonsense" * 1_000)
    with pytest.raises(StoreUnavailable, match=r"views\.db is unavailable"):
        await reached(tmp_path / "views.db")


async def test_of_the_builds_of_a_version_the_one_that_answers_counts(tmp_path: Path) -> None:
    path = tmp_path / "views.db"
    async with SqliteViewStore(path) as views:
        await views.prepare([PLAIN])
        await views.build(NEXT, NOON)
        await views.commit(NEXT, ViewChanges(START, FIRST, (), ()))
        assert await reached(path) == {("plain", 1): 0}
        assert await views.switch(NEXT, 0, PLAIN, NOON)
        assert await reached(path) == {("plain", 1): 7}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_file_of_each_schema_is_read(tmp_path: Path, version: int) -> None:
    golden(version, tmp_path / "v.db")
    assert await reached(tmp_path / "v.db") == {("board", 1): 7}
