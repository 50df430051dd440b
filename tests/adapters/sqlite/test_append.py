"""Appending to SQLite: exactly what the store in memory answers, however the batch is taken, and after any failure."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapters.sqlite import SqliteEventStore
from adapters.sqlite.append import Appender, Heads, texts
from adapters.sqlite.database import Database, open_for_writing
from adapters.sqlite.errors import CommitInDoubt
from adapters.sqlite.event_schema import LAYOUT
from bus.core.errors import StoreUnavailable
from bus.core.stored import AlreadyRecorded, Append, Appended, NewEvent, Stale, Unstorable
from bus.memory import MemoryEventStore
from tests.adapters.sqlite.files import FailingConnection, fetch, raw
from tests.contracts.entries import NOON, entry


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_for_writing(tmp_path / "e.db", LAYOUT, "sqlite:///e.db", "OFF", busy_timeout_s=0)
    yield database
    database.close()


def _appender(database: Database, heads_max: int = 100) -> Appender:
    return Appender(database.connection, "sqlite:///e.db", heads_max)


def _positions(database: Database) -> list[int]:
    return [position for (position,) in database.connection.execute("SELECT position FROM events ORDER BY position")]


@pytest.mark.parametrize("seed", range(25))
async def test_it_answers_as_the_store_in_memory_does(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    memory, sqlite = MemoryEventStore(), SqliteEventStore(tmp_path / "e.db", synchronous="OFF", heads_max=6)
    versions: dict[str, int] = {}
    async with memory, sqlite:
        for _ in range(30):
            batch = [_random_entry(chance, versions) for _ in range(chance.choice([1, 2, 8, 70]))]
            expected = await memory.append(batch, NOON)
            assert _comparable(await sqlite.append(batch, NOON)) == _comparable(expected)
            versions = {
                f"s-{number}": len(await memory.stream_pages({f"s-{number}": 0}, 9_999)) for number in range(12)
            }
        everything = list(await memory.page(0, 99_999))
        assert list(await sqlite.page(0, 99_999)) == everything
        ids = [f"c{number}" for number in range(400)]
        assert dict(await sqlite.find_commands(ids)) == dict(await memory.find_commands(ids))
        assert len(everything) > 50


def _random_entry(chance: random.Random, versions: dict[str, int]) -> Append:
    """Mostly what is right: the version follows what earlier entries would leave, the command is new."""
    stream = f"s-{chance.randrange(12)}"
    version = versions.get(stream, 0)
    events = chance.choice([1, 1, 1, 2, 3, 0 if chance.random() < 0.2 else 1])
    versions[stream] = version + events
    if chance.random() < 0.02:
        version += chance.choice([-1, 1])
    command = f"c{chance.randrange(400)}" if chance.random() < 0.03 else f"c{chance.randrange(10**9)}"
    return entry(stream, version, command + ("\0" if chance.random() < 0.01 else ""), events)


def _comparable(appended: Appended) -> tuple[int, dict[int, object]]:
    refused: dict[int, object] = {
        index: Unstorable if isinstance(refusal, Unstorable) else refusal for index, refusal in appended.refused.items()
    }
    return appended.position_before, refused


def test_the_most_recent_heads_are_remembered_and_no_more_than_the_limit() -> None:
    heads = Heads(10)
    for number in range(100):
        heads.update({f"s-{number}": (number, 1)})
        assert heads.get(f"s-{number}") == (number, 1)
    assert sum(heads.get(f"s-{number}") is not None for number in range(100)) <= 11
    heads.clear()
    assert heads.get("s-99") is None


def test_texts_that_no_column_can_hold_are_looked_for_nowhere() -> None:
    assert texts(["a", "a\0b", "\ud800", 'é"']) == '["a","é\\""]'


def test_an_event_too_large_for_sqlite_is_refused_alone(database: Database) -> None:
    database.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000)
    appender = _appender(database)
    large = [NewEvent("small", b"{}"), NewEvent("large", b"x" * 200_000)]
    batch = [entry("a-1", 0, "c1"), entry("b-1", 0, "c2", large), entry("b-1", 0, "c3"), entry("a-1", 1, "c4")]
    appended = appender.append(batch, NOON)
    assert isinstance(appended.refused[1], Unstorable)
    assert "too big" in appended.refused[1].reason
    assert appended.refused[2] == Stale(0)
    assert set(appended.refused) == {1, 2}
    assert appender.append([entry("b-1", 0, "c2"), entry("a-1", 2, "c5")], NOON) == Appended(2, {})
    assert _positions(database) == [1, 2, 3, 4]
    keys = database.connection.execute("SELECT stream_key, name FROM streams ORDER BY stream_key").fetchall()
    assert keys == [(1, "a-1"), (2, "b-1")]


@pytest.mark.parametrize("slow", [False, True], ids=["at once", "one by one"])
def test_a_full_database_records_nothing_of_the_batch_and_works_again_with_room(database: Database, slow: bool) -> None:
    appender = _appender(database)
    payload = [NewEvent("something", b"x" * 1_000)]
    acknowledged = 0
    pages = database.connection.execute("PRAGMA page_count").fetchone()[0]
    database.connection.execute(f"PRAGMA max_page_count = {pages + 60}")

    def batch() -> list[Append]:
        batch = [entry(f"a-{acknowledged + number}", 0, f"c{acknowledged + number}", payload) for number in range(32)]
        # An entry that is not as usual is what makes a batch be gone through one by one.
        return [*batch, entry("a-0", 7, "stale")] if slow else batch

    def fill() -> None:
        nonlocal acknowledged
        while acknowledged < 10_000:
            appender.append(batch(), NOON)
            acknowledged += 32

    with pytest.raises(StoreUnavailable, match="full"):
        fill()
    assert acknowledged > 0
    assert not database.connection.in_transaction
    assert _positions(database) == list(range(1, acknowledged + 1))

    database.connection.execute("PRAGMA max_page_count = 100000")
    assert appender.append(batch(), NOON).position_before == acknowledged
    assert _positions(database) == list(range(1, acknowledged + 33))


def test_a_file_locked_by_another_program_is_unavailable_until_it_lets_go(database: Database, tmp_path: Path) -> None:
    appender = _appender(database)
    appender.append([entry("a-1", 0, "c1")], NOON)
    with raw(tmp_path / "e.db") as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="another process holds its write lock"):
            appender.append([entry("a-1", 1, "c2")], NOON)
    assert appender.append([entry("a-1", 1, "c2")], NOON) == Appended(1, {})


def test_a_read_that_fails_before_the_transaction_has_recorded_nothing(database: Database, tmp_path: Path) -> None:
    appender = _appender(database)
    with raw(tmp_path / "e.db") as other:
        other.execute("ALTER TABLE streams RENAME TO elsewhere")
        with pytest.raises(StoreUnavailable, match="no such table"):
            appender.append([entry("a-1", 0, "c1")], NOON)
        other.execute("ALTER TABLE elsewhere RENAME TO streams")
    assert appender.append([entry("a-1", 0, "c1")], NOON) == Appended(0, {})


def test_what_another_program_wrote_past_the_lock_is_respected(database: Database, tmp_path: Path) -> None:
    appender = _appender(database)
    appender.append([entry("a-1", 0, "c1")], NOON)
    with raw(tmp_path / "e.db") as other:
        other.execute("INSERT INTO events VALUES (2, 1, 2, 'x', x'', 0, 'other', 0, x'', NULL, NULL, NULL)")
    batch = [entry("a-1", 1, "c2"), entry("a-2", 0, "c3")]
    assert appender.append(batch, NOON) == Appended(2, {0: Stale(2)})
    assert appender.append([entry("a-1", 2, "c2")], NOON) == Appended(3, {})


def test_a_value_of_a_wrong_type_is_refused_alone(database: Database) -> None:
    wrong = [NewEvent("x", "a text"), NewEvent("x", object())]  # type: ignore[arg-type]
    batch = [entry("a-1", 0, "c1", wrong[:1]), entry("a-2", 0, "c2", wrong[1:]), entry("a-3", 0, "c3")]
    appended = _appender(database).append(batch, NOON)
    assert {index: type(refusal) for index, refusal in appended.refused.items()} == {0: Unstorable, 1: Unstorable}
    assert _positions(database) == [1]


@pytest.mark.parametrize(
    ("code", "raises"),
    [(sqlite3.SQLITE_IOERR_WRITE, StoreUnavailable), (sqlite3.SQLITE_IOERR_FSYNC, CommitInDoubt)],
)
def test_after_a_failed_commit_the_identical_batch_is_recorded_once(
    tmp_path: Path, code: int, raises: type[Exception]
) -> None:
    with _failing(tmp_path / "e.db") as connection:
        appender = Appender(connection, "sqlite:///e.db", 100)
        appender.append([entry("a-1", 0, "c1")], NOON)
        batch = [entry("a-1", 1, "c2"), entry("a-2", 0, "c3")]
        connection.fails, connection.code = "COMMIT", code
        with pytest.raises(raises):
            appender.append(batch, NOON)
        connection.fails = ""
        assert appender.append(batch, NOON) == Appended(1, {})
    assert fetch(tmp_path / "e.db", "SELECT position, version FROM events") == [(1, 1), (2, 2), (3, 1)]


def test_a_commit_in_doubt_that_happened_is_found_and_not_repeated(tmp_path: Path) -> None:
    with _failing(tmp_path / "e.db") as connection:
        appender = Appender(connection, "sqlite:///e.db", 100)
        appender.append([entry("a-1", 0, "c1")], NOON)
        batch = [entry("a-1", 1, "c2"), entry("a-2", 0, "c3")]
        connection.fails, connection.code, connection.late = "COMMIT", sqlite3.SQLITE_IOERR_FSYNC, True
        with pytest.raises(CommitInDoubt):
            appender.append(batch, NOON)
        connection.fails = ""
        again = appender.append(batch, NOON)
        assert {index: type(refusal) for index, refusal in again.refused.items()} == dict.fromkeys(
            (0, 1), AlreadyRecorded
        )
        more = [entry("a-1", 2, "c4"), entry("a-2", 1, "c5"), entry("a-3", 0, "c6")]
        assert appender.append(more, NOON) == Appended(3, {})


@contextmanager
def _failing(path: Path) -> Iterator[FailingConnection]:
    open_for_writing(path, LAYOUT, "sqlite:///e.db", "OFF").close()
    connection = sqlite3.connect(path, isolation_level=None, factory=FailingConnection)
    yield connection
    connection.close()


def test_a_time_without_a_zone_is_refused_before_anything_is_recorded(database: Database) -> None:
    appender = _appender(database)
    with pytest.raises(TypeError):
        appender.append([entry("a-1", 0, "c1")], NOON.replace(tzinfo=None))
    assert _positions(database) == []
