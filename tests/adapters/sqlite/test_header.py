"""A file is known by its header, and its log by what it says of the file."""

import os
import shutil
from pathlib import Path

import pytest

from adapters.sqlite import SqliteEventStore, SqliteViewStore
from adapters.sqlite.event_schema import LAYOUT
from adapters.sqlite.header import Header, mark_of, recognise
from adapters.sqlite.view_schema import LAYOUT as VIEWS
from bus.core.errors import StoreNotReadable
from bus.core.stored import Appended
from tests.adapters.sqlite.files import crashed, fetch, raw
from tests.contracts.entries import NOON, entry

URL = "sqlite:///e.db"
GOLDEN = Path(__file__).parent / "golden" / "events-1.sql"


async def _crashed(folder: Path, events: int, *, identity_too: bool = False) -> Path:
    """A store of so many events as a crash leaves it: all of them are in the log alone."""
    os.makedirs(folder, exist_ok=True)
    async with SqliteEventStore(folder / "e.db") as store:
        for number in range(events):
            assert await store.append([entry(f"a-{number}", 0, f"c{number}")], NOON) == Appended(number, {})
        if identity_too:
            with raw(folder / "e.db") as connection:
                # SQLite writes no page that does not change.
                for value in ("another", store.identity):
                    connection.execute("UPDATE meta SET value = ? WHERE name = 'identity'", (value,))
        return crashed(folder) / "e.db"


def test_a_mark_is_never_none() -> None:
    marks = {mark_of(f"store {number}") for number in range(1_000)}
    assert len(marks) == 1_000
    assert all(0 < mark < 2**31 for mark in marks)


async def test_a_store_is_marked_when_it_is_made(tmp_path: Path) -> None:
    assert recognise(tmp_path / "e.db", LAYOUT, URL) is None
    async with SqliteEventStore(tmp_path / "e.db") as store:
        expected = Header(LAYOUT.application_id, mark_of(store.identity))
        assert recognise(tmp_path / "e.db", LAYOUT, URL) == expected
    with raw(tmp_path / "e.db") as connection:
        connection.execute("VACUUM INTO ?", (str(tmp_path / "backup.db"),))
    assert recognise(tmp_path / "backup.db", LAYOUT, URL) == expected


async def test_a_store_made_before_there_were_marks_gets_one(tmp_path: Path) -> None:
    with raw(tmp_path / "e.db") as connection:
        connection.executescript(GOLDEN.read_text())
    async with SqliteEventStore(tmp_path / "e.db", read_only=True):
        pass
    assert recognise(tmp_path / "e.db", LAYOUT, URL) == Header(LAYOUT.application_id, 0)
    async with SqliteEventStore(tmp_path / "e.db") as store:
        mark = mark_of(store.identity)
    assert recognise(tmp_path / "e.db", LAYOUT, URL) == Header(LAYOUT.application_id, mark)


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("identity_too", [False, True])
async def test_the_log_of_another_store_is_refused_and_nothing_is_changed(
    tmp_path: Path, read_only: bool, identity_too: bool
) -> None:
    ours = await _crashed(tmp_path / "ours", 50)
    other = await _crashed(tmp_path / "other", 200, identity_too=identity_too)
    log, shared = ours.with_name("e.db-wal"), ours.with_name("e.db-shm")
    own, foreign = log.read_bytes(), other.with_name("e.db-wal").read_bytes()
    before = ours.read_bytes()
    shared.unlink()
    log.write_bytes(foreign)
    with pytest.raises(StoreNotReadable, match="belong to different databases"):
        await SqliteEventStore(ours, read_only=read_only).__aenter__()
    assert (ours.read_bytes(), log.read_bytes()) == (before, foreign)
    shared.unlink()
    log.write_bytes(own)
    async with SqliteEventStore(ours) as store:
        assert await store.head() == 50


async def test_the_log_of_views_is_not_taken_for_that_of_events(tmp_path: Path) -> None:
    ours = await _crashed(tmp_path / "ours", 50)
    async with SqliteEventStore(ours):
        pass
    async with SqliteViewStore(tmp_path / "v.db"):
        with raw(tmp_path / "v.db") as connection:
            connection.execute("CREATE TABLE more(x)")
        shutil.copy(tmp_path / "v.db-wal", ours.with_name("e.db-wal"))
    before = ours.read_bytes()
    with pytest.raises(StoreNotReadable, match="belong to different databases"):
        await SqliteEventStore(ours).__aenter__()
    assert ours.read_bytes() == before
    ours.with_name("e.db-wal").unlink()
    async with SqliteEventStore(ours) as store:
        assert await store.head() == 50


@pytest.mark.parametrize("is_empty", [False, True])
async def test_events_are_not_begun_anew_beside_the_log_of_those_that_are_gone(tmp_path: Path, is_empty: bool) -> None:
    ours = await _crashed(tmp_path, 5)
    whole, log = ours.read_bytes(), ours.with_name("e.db-wal").read_bytes()
    ours.unlink()
    if is_empty:
        ours.touch()
    for read_only in (False, True):
        with pytest.raises(StoreNotReadable, match=r"gone or empty, but its log e\.db-wal is there"):
            await SqliteEventStore(ours, read_only=read_only).__aenter__()
    assert ours.with_name("e.db-wal").read_bytes() == log
    ours.write_bytes(whole)
    async with SqliteEventStore(ours) as store:
        assert await store.head() == 5


async def test_views_are_begun_anew_although_their_log_is_there(tmp_path: Path) -> None:
    (tmp_path / "v.db-wal").write_bytes(b"x" * 100)
    assert recognise(tmp_path / "v.db", VIEWS, URL) is None
    async with SqliteViewStore(tmp_path / "v.db"):
        pass
    assert fetch(tmp_path / "v.db", "SELECT count(*) FROM projections") == [(0,)]
