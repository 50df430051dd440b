"""Stored formats are for ever: published files stay as they are, and what each schema wrote is read by this release.

A new migration makes these tests fail until it has a line in `golden/migrations.sha256` (`sha256sum`, run in the folder
of the migrations) and a store of its schema, which `sample.py` makes. What is there already is never changed.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.postgres import PostgresEventStore, PostgresViewStore, events, views
from bus.core.builds import Build
from bus.core.errors import StoreNotReadable
from bus.core.stored import AlreadyRecorded, Appended, Checkpoint, History, Snapshot, Stale, StoredView, ViewChanges
from tests.adapters.postgres.databases import described, execute
from tests.adapters.postgres.sample import (
    AGAIN,
    AT_7,
    BOARD,
    BOARD_2,
    IDENTITY,
    LETTERS,
    NAMES,
    NOON,
    PLAIN,
    REQUESTS,
    SNAPSHOTS,
    STANDING,
    VIEWS,
    dumped,
    stored,
)
from tests.architecture.tree import ROOT
from tests.contracts.entries import entry, places

NewUrl = Callable[[], str]

MIGRATIONS = ROOT / "adapters" / "postgres" / "migrations"
GOLDEN = Path(__file__).parent / "golden"
EVENTS = range(1, len(events.LAYOUT.migrations()) + 1)
VIEWS_OF = range(1, len(views.LAYOUT.migrations()) + 1)


def test_a_published_migration_never_changes() -> None:
    published = dict(line.split()[::-1] for line in (GOLDEN / "migrations.sha256").read_text().splitlines())
    found = {
        path.relative_to(MIGRATIONS).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in MIGRATIONS.rglob("*.sql")
    }
    changed = [name for name, digest in published.items() if found.get(name) != digest]
    assert not changed, f"{changed} are published: put them back, and write what is to change into the next number"
    assert not found.keys() - published.keys(), "a new migration: add its digest, and freeze a store of its schema"


@pytest.mark.parametrize("kind", ["events", "views"])
def test_migrations_are_numbered_without_a_gap(kind: str) -> None:
    names = sorted(path.name for path in (MIGRATIONS / kind).iterdir())
    assert names == [f"{number:04}.sql" for number in range(1, len(names) + 1)]


async def frozen(url: str, name: str) -> str:
    """Makes a store as an earlier release left it."""
    await execute(url, (GOLDEN / f"{name}.sql").read_text())
    return url


@pytest.mark.parametrize("version", EVENTS)
async def test_an_event_store_of_each_schema_is_read_as_it_was_written(new_url: NewUrl, version: int) -> None:
    everything = stored()
    async with PostgresEventStore(await frozen(new_url(), f"events-{version}")) as store:
        assert store.identity == IDENTITY
        assert await store.head() == len(everything)
        assert list(await store.page(0, 99)) == everything
        for stream in {event.stream for event in everything}:
            own = [event for event in everything if event.stream == stream]
            assert list(await store.stream_pages({stream: 0}, 99)) == own
        for command_id in {event.command_id for event in everything}:
            own = [event for event in everything if event.command_id == command_id]
            assert dict(await store.find_commands([command_id])) == {command_id: AlreadyRecorded(tuple(own))}
        assert dict(await store.names()) == NAMES
        wanted = {snapshot.stream: snapshot.format for snapshot in SNAPSHOTS}
        assert sorted(await store.histories(dict.fromkeys(wanted, 0), 99, wanted), key=lambda one: one.stream) == [
            History("flight-1", 4, (("gone", b"null"),), SNAPSHOTS[0]),
            History("flight-2", 1, (), SNAPSHOTS[1]),
        ]


@pytest.mark.parametrize("version", EVENTS)
async def test_an_event_store_of_each_schema_goes_on(new_url: NewUrl, version: int) -> None:
    everything = stored()
    async with PostgresEventStore(await frozen(new_url(), f"events-{version}")) as store:
        batch = [entry("flight-1", 4, "c5"), entry("flight-2", 0, "c6"), entry("flight-3", 0, "c3")]
        assert await store.append(batch, NOON) == Appended(8, {1: Stale(1), 2: AlreadyRecorded((everything[4],))})
        assert await store.append([entry("flight-1", 5, "c7", 2), entry("flight-3", 0, "c8")], NOON) == Appended(9, {})
        assert places(await store.page(8, 99)) == [
            (9, "flight-1", 5),
            (10, "flight-1", 6),
            (11, "flight-1", 7),
            (12, "flight-3", 1),
        ]
        assert "event-1" in await store.names()
        later = Snapshot("flight-1", 7, "1:2a", b"{}")
        await store.save_snapshots([later])
        assert list(await store.histories({"flight-1": 0}, 99, {"flight-1": "1:2a"})) == [
            History("flight-1", 7, (), later)
        ]


@pytest.mark.parametrize("version", EVENTS)
async def test_an_event_store_of_each_schema_is_read_beside_and_stays_as_it_is(new_url: NewUrl, version: int) -> None:
    url = await frozen(new_url(), f"events-{version}")
    before = await described(url)
    async with PostgresEventStore(url, read_only=True) as store:
        assert list(await store.page(0, 99)) == stored()
    assert await described(url) == before


@pytest.mark.parametrize("version", VIEWS_OF)
async def test_a_view_store_of_each_schema_is_looked_at_and_stays_as_it_is(new_url: NewUrl, version: int) -> None:
    url = await frozen(new_url(), f"views-{version}")
    before = await described(url)
    if version < max(VIEWS_OF):
        with pytest.raises(StoreNotReadable, match=f"has schema version {version}, older than"):
            await PostgresViewStore(url, read_only=True).__aenter__()
    else:
        async with PostgresViewStore(url, read_only=True) as store:
            assert {one.table: one.checkpoint for one in await store.builds()}[PLAIN] == AT_7
            assert list(await store.letters(PLAIN, limit=9)) == sorted(LETTERS, key=lambda one: (one.position, one.key))
    assert await described(url) == before


@pytest.mark.parametrize("version", VIEWS_OF)
async def test_a_view_store_of_each_schema_is_read_as_it_was_written_and_goes_on(new_url: NewUrl, version: int) -> None:
    async with PostgresViewStore(await frozen(new_url(), f"views-{version}")) as store:
        assert dict(await store.prepare([BOARD, BOARD_2, PLAIN])) == {BOARD: AT_7, BOARD_2: Checkpoint(), PLAIN: AT_7}
        payloads = {view.key: view.payload for view in VIEWS}
        assert dict(await store.load(BOARD, list(payloads))) == payloads
        assert dict(await store.load(PLAIN, ["k"])) == {"k": b"1"}
        if version >= 3:
            assert list(await store.letters(PLAIN, limit=9)) == sorted(LETTERS, key=lambda one: (one.position, one.key))
            assert [await store.asked(request.id) for request in REQUESTS] == list(REQUESTS)
            assert list(await store.requests(is_open=True, limit=9)) == [REQUESTS[0]]
        more = [Build(AGAIN, AT_7, "building", NOON, STANDING)] if version >= 4 else []
        assert list(await store.builds()) == [
            Build(BOARD, AT_7, "answering", None),
            *more,
            Build(BOARD_2, Checkpoint(), "answering", None),
            Build(PLAIN, AT_7, "answering", None),
        ]
        if version >= 4:
            assert dict(await store.load(AGAIN, ["a"])) == {"a": b"1"}
        async with store.snapshot() as reader:
            by_time = await reader.find(BOARD, {}, "at", False, 9)
            assert list(by_time) == [(key, payloads[key]) for key in ("e", "naïve-日本", "a", "b", "d")]
            for place, name in enumerate(("origin", "at")):
                for view in VIEWS:
                    found = await reader.find(BOARD, {name: view.index_values[place]}, None, False, 9)
                    assert (view.key, view.payload) in found
        at_8 = Checkpoint(8, IDENTITY, "account-a", 2)
        changes = ViewChanges(AT_7, at_8, (StoredView("a", b"9", ("JFK", 2)), StoredView("z", b"8", (None, 0))), ("e",))
        assert await store.commit(BOARD, changes)
        assert dict(await store.load(BOARD, ["a", "e", "z"])) == {"a": b"9", "z": b"8"}
        assert (await store.prepare([BOARD]))[BOARD] == at_8


@pytest.mark.parametrize("version", EVENTS)
async def test_an_event_store_of_each_schema_becomes_the_one_made_today(new_url: NewUrl, version: int) -> None:
    old, new = await frozen(new_url(), f"events-{version}"), new_url()
    async with PostgresEventStore(new):
        pass
    today = await described(new)
    assert (await described(old) == today) == (version == EVENTS[-1])
    async with PostgresEventStore(old):
        pass
    assert await described(old) == today


@pytest.mark.parametrize("version", VIEWS_OF)
async def test_a_view_store_of_each_schema_becomes_the_one_made_today(new_url: NewUrl, version: int) -> None:
    old, new = await frozen(new_url(), f"views-{version}"), new_url()
    async with PostgresViewStore(new) as store:
        await store.prepare([BOARD, BOARD_2, PLAIN])
        await store.build(AGAIN, NOON)
    today = await described(new)
    assert (await described(old) == today) == (version == VIEWS_OF[-1])
    async with PostgresViewStore(old) as store:
        await store.prepare([BOARD, BOARD_2, PLAIN])
        await store.build(AGAIN, NOON)
    assert await described(old) == today


@pytest.mark.parametrize(("kind", "version"), [("events", EVENTS[-1]), ("views", VIEWS_OF[-1])])
async def test_what_is_written_today_is_what_is_frozen(new_url: NewUrl, kind: str, version: int) -> None:
    assert await dumped(new_url(), kind) == (GOLDEN / f"{kind}-{version}.sql").read_text()
