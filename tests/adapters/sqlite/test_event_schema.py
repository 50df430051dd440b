"""The tables of the event store: what was written by earlier releases opens, and queries use the indexes."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.sqlite import SqliteEventStore
from adapters.sqlite.event_schema import (
    COMMANDS,
    HISTORIES,
    HISTORY,
    LAYOUT,
    PAGE,
    STREAM_HEADS,
    STREAM_PAGES,
    stored_events,
    to_microseconds,
)
from bus.core.stored import AlreadyRecorded, Appended, Stale, StoredEvent
from tests.adapters.sqlite.files import raw, schema
from tests.contracts.entries import entry

GOLDEN = Path(__file__).parent / "golden"


NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
FIRST = StoredEvent(1, "flight-1", 1, "flight-scheduled", b'{"a":1}', NOON, "c1", b"\x01\x02", "talk", "why", "00-1")
SECOND = StoredEvent(2, "flight-1", 2, "flight-departed", b"{}", NOON, "c1", b"\x01\x02", "talk", "why", "00-1")
THIRD = StoredEvent(3, "flight-2", 1, "flight-scheduled", b"{}", NOON, "c2", b"\x03")
"""What each golden file holds."""

VERSIONS = range(1, len(LAYOUT.migrations) + 1)


def golden(version: int, path: Path) -> None:
    """Makes the file as that schema version wrote it."""
    with raw(path) as connection:
        connection.executescript((GOLDEN / f"events-{version}.sql").read_text())


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_file_of_each_schema_still_opens_and_goes_on(tmp_path: Path, version: int) -> None:
    golden(version, tmp_path / "e.db")
    async with SqliteEventStore(tmp_path / "e.db") as store:
        assert store.identity == "7f0c2a52-6f2c-4d1e-9d53-0d5f4b1f6a10"
        assert list(await store.page(0, 9)) == [FIRST, SECOND, THIRD]
        assert list(await store.stream_pages({"flight-2": 0}, 9)) == [THIRD]
        assert dict(await store.names()) == {"flight-scheduled": "flight", "flight-departed": "flight"}
        batch = [entry("flight-1", 2, "c3"), entry("flight-2", 0, "c4"), entry("flight-3", 0, "c1")]
        assert await store.append(batch, NOON) == Appended(3, {1: Stale(1), 2: AlreadyRecorded((FIRST, SECOND))})
        assert "event-0" in await store.names()


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_file_of_each_schema_is_read_beside_and_stays_as_it_is(tmp_path: Path, version: int) -> None:
    golden(version, tmp_path / "e.db")
    before = schema(tmp_path / "e.db")
    async with SqliteEventStore(tmp_path / "e.db", read_only=True) as store:
        assert list(await store.page(0, 9)) == [FIRST, SECOND, THIRD]
        assert dict(await store.names()) == {"flight-scheduled": "flight", "flight-departed": "flight"}
    assert schema(tmp_path / "e.db") == before


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_file_of_each_schema_becomes_the_one_made_today(tmp_path: Path, version: int) -> None:
    golden(version, tmp_path / "golden.db")
    assert (schema(tmp_path / "golden.db") == await _made_today(tmp_path)) == (version == VERSIONS[-1])
    async with SqliteEventStore(tmp_path / "golden.db"):
        pass
    assert schema(tmp_path / "golden.db") == await _made_today(tmp_path)


async def _made_today(folder: Path) -> list[tuple[str, ...]]:
    async with SqliteEventStore(folder / "new.db"):
        pass
    return schema(folder / "new.db")


@pytest.fixture
def tables() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript("".join(LAYOUT.migrations))
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (PAGE, (0, 1)),
        (STREAM_PAGES, ("{}", 1)),
        (HISTORIES, ("{}", 1)),
        (HISTORY, ("a-1", 0, 1)),
        (COMMANDS, ("[]",)),
        (STREAM_HEADS, ("[]",)),
    ],
    ids=["page", "stream pages", "histories", "history", "commands", "stream heads"],
)
def test_no_query_reads_a_whole_table(tables: sqlite3.Connection, query: str, parameters: tuple[object, ...]) -> None:
    plan = [detail for *_, detail in tables.execute(f"EXPLAIN QUERY PLAN {query}", parameters)]
    scans = [
        detail
        for detail in plan
        if detail.startswith("SCAN") and detail not in ("SCAN own", "SCAN w VIRTUAL TABLE INDEX 1:")
    ]
    assert not scans, plan


@pytest.mark.parametrize(
    ("query", "parameters"),
    [(STREAM_PAGES, ("{}", 1)), (HISTORIES, ("{}", 1)), (HISTORY, ("a-1", 0, 1))],
    ids=["stream pages", "histories", "history"],
)
def test_streams_are_read_without_a_sort(
    tables: sqlite3.Connection, query: str, parameters: tuple[object, ...]
) -> None:
    plan = [detail for *_, detail in tables.execute(f"EXPLAIN QUERY PLAN {query}", parameters)]
    assert not any("B-TREE" in detail for detail in plan), plan
    assert (
        next(detail for detail in plan if " e " in detail)
        == "SEARCH e USING INDEX sqlite_autoindex_events_1 (stream_key=? AND version>?)"
    )


@pytest.mark.parametrize(
    ("moment", "microseconds"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), -1),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC), 253_402_300_799_999_999),
        (datetime(1, 1, 1, tzinfo=UTC), -62_135_596_800_000_000),
    ],
)
def test_times_are_kept_exactly(moment: datetime, microseconds: int) -> None:
    assert to_microseconds(moment) == microseconds
    (event,) = stored_events([(1, "s", 1, "n", b"", microseconds, "c", b"", None, None, None)])
    assert event.recorded_at == moment


@pytest.mark.parametrize("moment", [2**63 - 1, -(2**63), None, "noon"])
def test_a_time_that_cannot_be_is_a_fault(moment: object) -> None:
    (event,) = stored_events([(1, "s", 1, "n", b"", moment, "c", b"", None, None, None)])
    assert event.fault == f"the time in its row, {moment!r}, is none"


@pytest.mark.parametrize(("column", "value"), [("recorded_at", "9223372036854775807"), ("name", "CAST(x'FF' AS TEXT)")])
async def test_an_event_of_which_a_column_is_damaged_says_so_and_its_neighbours_are_read(
    tmp_path: Path, column: str, value: str
) -> None:
    async with SqliteEventStore(tmp_path / "e.db") as store:
        await store.append([entry("a-1", 0, "c1"), entry("a-2", 0, "c2")], datetime(2013, 1, 1, tzinfo=UTC))
        with raw(tmp_path / "e.db") as connection:
            connection.execute(f"UPDATE events SET {column} = {value} WHERE position = 1")
        damaged, sound = await store.page(0, 9)
        assert damaged.fault is not None
        assert sound.fault is None
        assert [event.fault is None for event in await store.stream_pages({"a-1": 0}, 9)] == [False]
        assert [event.fault is None for event in await store.stream_pages({"a-2": 0}, 9)] == [True]
        assert not all(event.fault is None for event in (await store.find_commands(["c1"]))["c1"].events)
