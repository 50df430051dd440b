"""Pages in one row: the same events as row by row, and whatever is unusual is left to those."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.sqlite import SqliteEventStore
from adapters.sqlite.event_schema import PAGE
from adapters.sqlite.pages import EVENTS_MIN, TOGETHER, rows_of
from bus.core.stored import Append, NewEvent

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
TEXTS = [
    "plain",
    "naïve 日本 😀",
    'quote " back \\ slash',
    "line\nfeed\ttab\x01\x7f",
    "[1,2]",
    "null",
    "1",
    "-0",
    "1e3",
]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A store with events of all kinds."""
    async with SqliteEventStore(tmp_path / "e.db") as store:
        entries = [
            Append(
                f"stream-{number}",
                0,
                (NewEvent("one", b"\xff\0{}" * number), NewEvent(f"two {text}", text.encode())),
                f"c{number} {text}",
                bytes([number]) * 16,
                text if number % 2 else None,
                None if number % 2 else text,
                text,
            )
            for number, text in enumerate(TEXTS)
        ]
        appended = await store.append(entries, NOON)
        assert not appended.refused
    return tmp_path / "e.db"


def both(path: Path) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]] | None]:
    """A page row by row, and in one row."""
    connection = sqlite3.connect(path)
    try:
        connection.text_factory = lambda text: text.decode(errors="replace")
        one = connection.execute(TOGETHER, (2, 12)).fetchone()
        return connection.execute(PAGE, (2, 12)).fetchall(), rows_of(one)
    finally:
        connection.close()


async def test_a_page_in_one_row_is_the_page(path: Path) -> None:
    by_row, together = both(path)
    assert len(by_row) == 12
    assert together == by_row


async def test_a_page_of_no_events_is_empty(path: Path) -> None:
    connection = sqlite3.connect(path)
    assert rows_of(connection.execute(TOGETHER, (100, 12)).fetchone()) == []
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE events SET command_id = CAST(x'ff' AS TEXT) WHERE position = 5",
        "UPDATE events SET name = CAST(x'ff' AS TEXT) WHERE position = 5",
        "UPDATE streams SET name = CAST(x'ff' AS TEXT) WHERE name = 'stream-2'",
    ],
)
async def test_a_text_that_is_none_is_left_to_who_reads_row_by_row(path: Path, damage: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(damage)
    connection.commit()
    connection.close()
    assert both(path)[1] is None
    async with SqliteEventStore(path) as store:
        page = await store.page(0, EVENTS_MIN)
        assert len(page) == 2 * len(TEXTS)
        assert [event.fault is None for event in page].count(False) in {1, 2}


async def test_a_store_reads_long_pages_as_it_reads_short_ones(path: Path) -> None:
    async with SqliteEventStore(path) as store:
        short = [event for after in range(0, 18, 3) for event in await store.page(after, 3)]
        assert list(await store.page(0, EVENTS_MIN)) == short


@pytest.mark.parametrize(
    ("place", "column"),
    [(0, b"[2,1]"), (0, b"[1,null]"), (0, b"[1]"), (0, b"[1,"), (4, b"[1,2]"), (4, b"[null,1]"), (4, b'["a",1]')],
)
def test_what_does_not_fit_together_is_no_page(place: int, column: bytes) -> None:
    whole = [b"[1,2]", b'["s","s"]', b"[1,2]", b'["n","n"]', b"[1,1]", b"{}", b"[0,0]", b'["c","d"]', b"[0,0]", b""]
    whole += [b"[null,null]"] * 3
    assert rows_of(whole) is not None
    whole[place] = column
    assert rows_of(whole) is None
