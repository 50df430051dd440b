"""The desk looks into a file, and leaves requests there, beside the bus that writes it."""

import sqlite3
from pathlib import Path

import pytest

from adapters.sqlite import SqliteEventStore, SqliteViewDesk, SqliteViewStore
from bus.core.builds import Build
from bus.core.errors import StoreNotReadable, StoreUnavailable
from bus.core.stored import ViewChanges, ViewTable
from tests.contracts.letters import letter, request
from tests.contracts.view_store import BOARD, FIRST, PLAIN, START


async def test_it_sees_what_the_writer_has_committed_and_the_writer_what_it_leaves(tmp_path: Path) -> None:
    path = tmp_path / "views.db"
    async with SqliteViewStore(path) as store, SqliteViewDesk(path) as desk:
        assert list(await desk.builds()) == []
        await store.prepare([PLAIN, BOARD])
        letters = (letter("k", 3, "a bug"), letter("k", 5), letter("l", 5))
        await store.commit(PLAIN, ViewChanges(START, FIRST, (), (), 0, letters))
        assert list(await desk.builds()) == [
            Build(BOARD, START, "answering", None),
            Build(PLAIN, FIRST, "answering", None),
        ]
        assert dict(await desk.parked(PLAIN)) == {"k": 2, "l": 1}
        assert list(await desk.letters(PLAIN, limit=9)) == list(letters)
        assert list(await desk.letters(PLAIN, "k", after=(3, "k"), limit=9)) == [letters[1]]
        assert (dict(await desk.parked(BOARD)), list(await desk.letters(BOARD, limit=9))) == ({}, [])
        unknown = ViewTable("plain", 1, (), 1)
        assert (dict(await desk.parked(unknown)), list(await desk.letters(unknown, limit=9))) == ({}, [])
        await desk.ask(request(1))
        assert list(await store.requests(is_open=True, limit=9)) == [request(1)]
        assert list(await desk.requests(is_open=True, limit=9)) == [request(1)]
        assert await desk.asked("request-1") == request(1)


async def test_who_only_looks_waits_for_no_writer_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "views.db"
    async with SqliteViewStore(path) as store:
        await store.prepare([PLAIN])
        await store.commit(PLAIN, ViewChanges(START, FIRST, (), (), 0, (letter("k", 3, "a bug"),)))
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    async with SqliteViewDesk(path, read_only=True) as looking, SqliteViewDesk(path, busy_timeout_s=0.01) as desk:
        for one in (looking, desk):
            assert dict(await one.parked(PLAIN)) == {"k": 1}
        with pytest.raises(StoreUnavailable, match="locked"):
            await desk.ask(request(1))
        with pytest.raises(StoreUnavailable, match="read-only"):
            await looking.ask(request(1))
    writer.close()
    path.chmod(0o444)
    async with SqliteViewDesk(path, read_only=True) as looking:
        assert [(one.table, one.checkpoint) for one in await looking.builds()] == [(PLAIN, FIRST)]


async def test_a_file_that_is_not_there_or_none_of_ours_is_told_and_left_alone(tmp_path: Path) -> None:
    missing = tmp_path / "views.db"
    with pytest.raises(StoreNotReadable, match="does not exist"):
        await SqliteViewDesk(missing).__aenter__()
    assert not missing.exists()
    async with SqliteEventStore(tmp_path / "events.db"):
        pass
    with pytest.raises(StoreNotReadable, match=r"events\.db"):
        await SqliteViewDesk(tmp_path / "events.db").__aenter__()


async def test_a_file_of_an_earlier_release_is_left_to_a_bus(tmp_path: Path) -> None:
    path = tmp_path / "views.db"
    async with SqliteViewStore(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = '1' WHERE name = 'schema_version'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreNotReadable, match="let a bus of this release open it first"):
        await SqliteViewDesk(path).__aenter__()


async def test_one_that_is_not_open_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="not open"):
        await SqliteViewDesk(tmp_path / "views.db").builds()
