"""Letters and requests in SQLite: found by an index, and requests are not kept for ever."""

import sqlite3
from pathlib import Path

import msgspec
import pytest

from adapters.sqlite import SqliteViewStore
from adapters.sqlite.letters import LETTERS_BETWEEN, letters_of
from tests.contracts.letters import NOON, request
from tests.contracts.view_store import PLAIN

pytestmark = pytest.mark.anyio


def test_a_row_is_read_as_the_letter_it_was() -> None:
    (letter,) = letters_of(PLAIN, [(5, "k", "a-1", 2, "happened", None, 0, 1, 1_357_041_600_000_002, "trace")])
    assert letter.id == "plain:1:5:k"
    assert letter.first_at.isoformat() == "1970-01-01T00:00:00.000001+00:00"
    assert letter.last_at.isoformat() == "2013-01-01T12:00:00.000002+00:00"


async def test_what_is_looked_for_at_every_wait_is_found_by_an_index(tmp_path: Path) -> None:
    async with SqliteViewStore(tmp_path / "views.db") as store:
        await store.prepare([PLAIN])
    with sqlite3.connect(tmp_path / "views.db") as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {LETTERS_BETWEEN}", (1, 2, 3)).fetchall()
    connection.close()
    assert [row[3] for row in plan] == [
        "SEARCH letters USING PRIMARY KEY (projection_key=? AND position>? AND position<?)"
    ]


async def test_of_answered_requests_the_last_thousand_are_kept_and_of_open_ones_all(tmp_path: Path) -> None:
    async with SqliteViewStore(tmp_path / "views.db", synchronous="OFF") as store:
        await store.ask(request(0))
        for number in range(1, 1_100):
            await store.ask(request(number))
            await store.answer(msgspec.structs.replace(request(number), answered_at=NOON))
        assert list(await store.requests(is_open=True, limit=9)) == [request(0)]
        assert len(await store.requests(is_open=False, limit=9_999)) <= 1_001
        assert await store.asked("request-1") is None
        assert await store.asked("request-1099") is not None
