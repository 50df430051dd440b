"""Snapshots in a file: found by index, read from files of each schema, and never kept by who only reads."""

import sqlite3
from pathlib import Path

import pytest

from adapters.sqlite import SqliteEventStore
from adapters.sqlite.event_schema import LAYOUT
from adapters.sqlite.snapshots import SNAPSHOTS
from bus.core.errors import StoreUnavailable
from bus.core.stored import History, Snapshot
from tests.adapters.sqlite.files import fetch, raw
from tests.contracts.entries import NOON, entry

GOLDEN = Path(__file__).parent / "golden"


async def test_a_snapshot_of_the_second_schema_is_read_and_a_file_of_the_first_has_none(tmp_path: Path) -> None:
    for version in (1, 2):
        with raw(tmp_path / f"{version}.db") as connection:
            connection.executescript((GOLDEN / f"events-{version}.sql").read_text())
    kept = Snapshot("flight-1", 2, "1:2a", b'{"status":"departed"}')
    wanted = {"flight-1": "1:2a"}
    for read_only in (True, False):
        async with SqliteEventStore(tmp_path / "2.db", read_only=read_only) as store:
            assert list(await store.histories({"flight-1": 0}, 9, wanted)) == [History("flight-1", 2, (), kept)]
        async with SqliteEventStore(tmp_path / "1.db", read_only=read_only) as store:
            (history,) = await store.histories({"flight-1": 0}, 9, wanted)
            assert (history.snapshot, history.version, len(history.events)) == (None, 2, 2)


async def test_who_only_reads_keeps_none(tmp_path: Path) -> None:
    async with SqliteEventStore(tmp_path / "e.db") as store:
        await store.append([entry("a-1", 0, "c1")], NOON)
        async with SqliteEventStore(tmp_path / "e.db", read_only=True) as reader:
            with pytest.raises(StoreUnavailable, match="read-only"):
                await reader.save_snapshots([Snapshot("a-1", 1, "1:a", b"")])
    assert fetch(tmp_path / "e.db", "SELECT * FROM snapshots") == []


async def test_a_failed_transaction_keeps_the_snapshots_that_were_there(tmp_path: Path) -> None:
    async with SqliteEventStore(tmp_path / "e.db", busy_timeout_s=0.0) as store:
        await store.append([entry("a-1", 0, "c1", 2)], NOON)
        await store.save_snapshots([Snapshot("a-1", 1, "1:a", b"one")])
        with raw(tmp_path / "e.db") as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="locked"):
                await store.save_snapshots([Snapshot("a-1", 2, "1:a", b"two")])
            other.execute("ROLLBACK")
        with pytest.raises(sqlite3.Error):
            await store.save_snapshots([Snapshot("a-1", 2, "1:a", b"two"), Snapshot("a-1", 2, None, b"")])  # type: ignore[arg-type]
        (history,) = await store.histories({"a-1": 0}, 9, {"a-1": "1:a"})
        assert history.snapshot == Snapshot("a-1", 1, "1:a", b"one")


def test_snapshots_are_found_by_an_index() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript("".join(LAYOUT.migrations))
    plan = [detail for *_, detail in connection.execute(f"EXPLAIN QUERY PLAN {SNAPSHOTS}", ("{}",))]
    connection.close()
    assert [detail.split(" USING")[0] for detail in plan] == ["SCAN w VIRTUAL TABLE INDEX 1:", "SEARCH s", "SEARCH n"]
