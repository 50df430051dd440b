"""Checkpoints of a view file are read beside the bus that writes it."""

from pathlib import Path

import pytest

from adapters.sqlite import SqliteEventStore, SqliteViewStore
from adapters.sqlite.reached import reached
from bus import Bus
from bus.core.errors import StoreUnavailable
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
