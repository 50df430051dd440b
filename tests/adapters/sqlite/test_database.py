"""Opening database files: what is not ours is left as it is, one process writes, others read."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.sqlite import SqliteEventStore, SqliteViewStore, Synchronous
from adapters.sqlite.database import open_for_writing
from adapters.sqlite.event_schema import LAYOUT
from bus.core.errors import (
    StoreInUse,
    StoreNotReadable,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
    Unusable,
)
from bus.core.stored import Appended
from tests.adapters.sqlite import programs
from tests.adapters.sqlite.files import contents, fetch, raw
from tests.contracts.entries import NOON, entry

Open = Callable[[Path], Any]


@pytest.fixture(
    params=[
        pytest.param(SqliteEventStore, id="events"),
        pytest.param(SqliteViewStore, id="views"),
        pytest.param(lambda path: SqliteEventStore(path, read_only=True), id="events read-only"),
    ]
)
def opens(request: pytest.FixtureRequest) -> Open:
    """Each way to open a file."""
    return request.param  # type: ignore[no-any-return]


async def _refused(store: Any, error: type[Unusable], why: str) -> None:
    with pytest.raises(error, match=why) as caught:
        async with store:
            pytest.fail("it was opened")
    assert type(caught.value) is error
    assert store.url in str(caught.value)
    assert caught.value.facts == {"store": store.url}


# What is no store of ours


def _text(path: Path) -> None:
    path.write_text("flight,origin\nUA-1545,EWR\n" * 100)


def _short(path: Path) -> None:
    path.write_bytes(b"x")


def _foreign(path: Path) -> None:
    with raw(path) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE events(x); INSERT INTO events VALUES (1)")


@pytest.mark.parametrize(("make", "why"), [(_text, "not a database"), (_short, "not a database"), (_foreign, "but no")])
async def test_a_file_that_is_no_store_is_refused_and_stays_as_it_was(
    tmp_path: Path, opens: Open, make: Callable[[Path], None], why: str
) -> None:
    make(tmp_path / "x.db")
    before = contents(tmp_path)
    await _refused(opens(tmp_path / "x.db"), StoreNotReadable, why)
    assert contents(tmp_path) == before


async def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, opens: Open) -> None:
    os.mkfifo(tmp_path / "pipe")
    await _refused(opens(tmp_path / "pipe"), StoreNotReadable, "no file, but a device or a pipe")
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.parametrize("store", [SqliteEventStore, SqliteViewStore])
def test_a_level_of_durability_that_there_is_not_is_refused(
    tmp_path: Path, store: type[SqliteEventStore] | type[SqliteViewStore]
) -> None:
    with pytest.raises(ValueError, match="one of OFF, NORMAL, FULL, EXTRA, not 'full'"):
        store(tmp_path / "x.db", synchronous="full")  # type: ignore[arg-type]


async def test_events_are_no_views_and_views_no_events(tmp_path: Path) -> None:
    async with SqliteEventStore(tmp_path / "e.db"), SqliteViewStore(tmp_path / "v.db"):
        pass
    before = contents(tmp_path)
    await _refused(SqliteEventStore(tmp_path / "v.db"), StoreNotReadable, "no event store")
    await _refused(SqliteViewStore(tmp_path / "e.db"), StoreNotReadable, "no view store")
    assert contents(tmp_path) == before


async def test_a_store_of_a_later_release_is_refused_and_stays_as_it_was(tmp_path: Path, opens: Open) -> None:
    make = SqliteViewStore if opens is SqliteViewStore else SqliteEventStore
    async with make(tmp_path / "x.db"):
        pass
    with raw(tmp_path / "x.db") as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = (tmp_path / "x.db").read_bytes()
    await _refused(opens(tmp_path / "x.db"), StoreTooNew, "99")
    assert (tmp_path / "x.db").read_bytes() == before


async def test_a_failed_opening_holds_no_lock(tmp_path: Path) -> None:
    async with SqliteEventStore(tmp_path / "x.db"):
        pass
    with raw(tmp_path / "x.db") as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
        with pytest.raises(StoreTooNew) as caught:
            await SqliteEventStore(tmp_path / "x.db").__aenter__()
        now = str(len(LAYOUT.migrations))
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (now,))
    async with SqliteEventStore(tmp_path / "x.db"):
        # As long as the error lives, so does what it refers to.
        assert caught.value.__traceback__ is not None


async def test_a_damaged_store_is_refused(tmp_path: Path, opens: Open) -> None:
    make = SqliteViewStore if opens is SqliteViewStore else SqliteEventStore
    async with make(tmp_path / "x.db"):
        pass
    whole = (tmp_path / "x.db").read_bytes()
    (tmp_path / "x.db").write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    await _refused(opens(tmp_path / "x.db"), StoreNotReadable, "malformed")


@pytest.mark.parametrize(
    ("old", "new"), [(b"sqlite_autoindex_", b"sqlite_auto\xff\xff\xff\xff\xff_"), (b"WITHOUT", b"WITH\xff\xff\xff")]
)
async def test_a_store_whose_tables_have_no_readable_description_is_refused(
    tmp_path: Path, opens: Open, old: bytes, new: bytes
) -> None:
    make = SqliteViewStore if opens is SqliteViewStore else SqliteEventStore
    async with make(tmp_path / "x.db"):
        pass
    whole = (tmp_path / "x.db").read_bytes()
    assert old in whole
    (tmp_path / "x.db").write_bytes(whole.replace(old, new))
    await _refused(opens(tmp_path / "x.db"), StoreNotReadable, r"damaged\. Stop, and restore it from a backup")


@pytest.mark.parametrize("change", ["DELETE FROM meta", "UPDATE meta SET value = 'x'"])
async def test_a_store_that_does_not_say_what_it_is_is_refused(tmp_path: Path, opens: Open, change: str) -> None:
    make = SqliteViewStore if opens is SqliteViewStore else SqliteEventStore
    async with make(tmp_path / "x.db"):
        pass
    with raw(tmp_path / "x.db") as connection:
        connection.execute(f"{change} WHERE name = 'schema_version'")
    await _refused(opens(tmp_path / "x.db"), StoreNotReadable, "is damaged: ")


async def test_a_path_that_can_hold_no_store_is_refused(tmp_path: Path, opens: Open) -> None:
    await _refused(opens(tmp_path), StoreNotReadable, "is a directory")
    await _refused(opens(tmp_path / "none" / "x.db"), StoreNotReadable, "no directory")
    _text(tmp_path / "file")
    await _refused(opens(tmp_path / "file" / "x.db"), StoreNotReadable, "cannot be read")
    assert list(contents(tmp_path)) == ["file"]


async def test_a_store_that_does_not_exist_is_not_made_by_reading(tmp_path: Path) -> None:
    await _refused(SqliteEventStore(tmp_path / "x.db", read_only=True), StoreNotReadable, "does not exist")
    assert contents(tmp_path) == {}


async def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()
    async with SqliteEventStore(tmp_path / "x.db") as store:
        assert await store.head() == 0


async def test_a_store_refused_opens_once_the_cause_is_gone(tmp_path: Path) -> None:
    store = SqliteEventStore(tmp_path / "later" / "x.db")
    await _refused(store, StoreNotReadable, "create it first")
    (tmp_path / "later").mkdir()
    async with store:
        assert await store.head() == 0


@pytest.mark.parametrize(
    "name", ["a b.db", "per%20cent.db", "que?mode=memory.db", "ha#sh.db", "naïve-😀.db", ":memory:x"]
)
async def test_no_character_of_a_path_has_a_meaning(tmp_path: Path, name: str) -> None:
    async with SqliteEventStore(tmp_path / name) as store:
        await store.append([entry("a-1", 0, "c1")], NOON)
        assert len(await store.page(0, 9)) == 1
    assert fetch(tmp_path / name, "SELECT count(*) FROM events") == [(1,)]


# Who may write


@pytest.fixture
def readable() -> Iterator[Path]:
    """A store that others may read, in a folder where they may not write."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "e.db"
        with programs.start("hold", path) as holder:
            programs.answer(holder)
        path.chmod(0o444)
        for leftover in path.parent.glob("*.lock"):
            leftover.unlink()
        path.parent.chmod(0o555)
        yield path
        path.parent.chmod(0o755)


def test_a_store_that_may_not_be_written_is_refused_to_writers_and_open_to_readers(readable: Path) -> None:
    before = contents(readable.parent)
    said = programs.run("unprivileged", readable)
    for attempt in ("write", "create"):
        assert said[attempt]["error"] == StoreReadOnly.__name__
        assert "must be writable" in said[attempt]["message"]
    assert said["read"] == {"head": 1}
    assert contents(readable.parent).keys() == before.keys()


def test_a_file_that_may_not_be_written_in_a_folder_that_may_is_refused_to_writers(readable: Path) -> None:
    readable.parent.chmod(0o777)
    before = readable.read_bytes()
    said = programs.run("unprivileged", readable)
    assert said["write"]["error"] == StoreReadOnly.__name__
    assert "permissions" in said["write"]["message"]
    assert said["create"] == {"head": 0}
    assert readable.read_bytes() == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder where not even the superuser makes files")
async def test_a_folder_that_takes_no_files_is_not_taken_for_a_store_in_use() -> None:
    await _refused(SqliteEventStore("/proc/x.db"), StoreReadOnly, "cannot be locked")


async def test_a_second_writer_is_refused_by_the_name_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "e.db")
    async with SqliteEventStore(tmp_path / "e.db") as store:
        for name in ("e.db", "link.db"):
            await _refused(SqliteEventStore(tmp_path / name), StoreInUse, "in use by another bus")
        assert await store.append([entry("a-1", 0, "c1")], NOON) == Appended(0, {})
    async with SqliteEventStore(tmp_path / "link.db") as store:
        assert await store.head() == 1


async def test_a_writer_in_another_process_is_respected_until_it_ends(tmp_path: Path) -> None:
    with programs.start("hold", tmp_path / "e.db") as holder:
        assert programs.answer(holder) == "open"
        await _refused(SqliteEventStore(tmp_path / "e.db"), StoreInUse, "in use by another bus")
    async with SqliteEventStore(tmp_path / "e.db") as store:
        assert await store.head() == 1


async def test_a_writer_that_is_killed_leaves_a_store_that_opens_with_all_it_recorded(tmp_path: Path) -> None:
    with programs.start("hold", tmp_path / "e.db") as holder:
        programs.answer(holder)
        holder.kill()
    async with SqliteEventStore(tmp_path / "e.db") as store:
        assert await store.append([entry("a-1", 1, "c2")], NOON) == Appended(1, {})


# Who may read


async def test_readers_read_beside_a_writer_and_never_write(tmp_path: Path) -> None:
    reader = SqliteEventStore(tmp_path / "e.db", read_only=True)
    async with SqliteEventStore(tmp_path / "e.db") as writer:
        await writer.append([entry("a-1", 0, "c1")], NOON)
        async with reader:
            assert reader.identity == writer.identity
            assert await reader.head() == 1
            await writer.append([entry("a-1", 1, "c2")], NOON)
            assert [event.position for event in await reader.page(0, 9)] == [1, 2]
            with pytest.raises(StoreUnavailable, match="read-only"):
                await reader.append([entry("a-1", 2, "c3")], NOON)
    async with reader:
        assert await reader.head() == 2


# What a full disk does


async def test_a_full_disk_loses_nothing_acknowledged_and_the_store_works_again_with_room(tmp_path: Path) -> None:
    said = programs.run("fill", tmp_path / "e.db")
    acknowledged = said["acknowledged"]
    assert acknowledged >= 32
    assert said["readable"] == acknowledged
    assert all("Nothing was recorded" in error for error in said["errors"])
    assert said["before"] == acknowledged + 16
    async with SqliteEventStore(tmp_path / "e.db") as store:
        events = await store.page(0, 100_000)
    assert [event.position for event in events] == list(range(1, acknowledged + 18))
    assert [event.command_id for event in events] == [*[f"c{n}" for n in range(acknowledged + 16)], "more"]


# How durable


@pytest.mark.parametrize(("synchronous", "level"), [("OFF", 0), ("NORMAL", 1), ("FULL", 2), ("EXTRA", 3)])
def test_the_level_of_durability_is_the_one_asked_for(tmp_path: Path, synchronous: Synchronous, level: int) -> None:
    database = open_for_writing(tmp_path / "e.db", LAYOUT, "url", synchronous)
    assert database.connection.execute("PRAGMA synchronous").fetchone() == (level,)
    assert database.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()
