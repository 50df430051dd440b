"""Ids and values that look like SQL are kept as they are, and the tables with them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bus.core.finding import Condition
from bus.core.projection import IndexValue
from bus.core.stored import (
    AlreadyRecorded,
    Append,
    Checkpoint,
    NewEvent,
    StoredEvent,
    StoredView,
    ViewChanges,
    ViewTable,
)
from tests.adapters.sqlite.files import fetch, schema
from tests.contracts.entries import NOON

HOSTILE = (
    "'; DROP TABLE events; --",
    '"; DROP TABLE streams; --',
    "x' OR '1'='1",
    "'); DELETE FROM events WHERE ('1'='1",
    "1; UPDATE projections SET position = 99; --",
    "?1", ":name", "@p", "$1", "%s", "{0}", "[x]", "`x`", "/* x", "-- x", "\\'", "''", '""', "NULL", "x'00'",
    "json_each('[1]')", '"],"a":["', "{\"$\":1}", "%' ESCAPE '", "rowid", "sqlite_schema", "\n;\n", "\u2019", "\x01",
)  # fmt: skip


def tables(path: Path) -> Mapping[str, Any]:
    """The schema and how many rows there are in each table."""
    names = [name for (name,) in fetch(path, "SELECT name FROM sqlite_schema WHERE type = 'table'")]
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    return {"": schema(path)} | {name: fetch(path, f"SELECT count(*) FROM {name}") for name in quoted}


async def test_hostile_texts_in_events_and_questions_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    async with SqliteEventStore(path) as store:
        entries = [
            Append(f"s-{text}", 0, (NewEvent(text, text.encode()),) * 2, text, text.encode(), text, text, text)
            for text in HOSTILE
        ]
        await store.append(entries[:9], NOON)
        before = tables(path)
        # One by one as well, since a batch with a repetition in it goes another way.
        assert len((await store.append(entries, NOON)).refused) == 9
        expected = [
            StoredEvent(
                2 * number + one, f"s-{text}", one, text, text.encode(), NOON, text, text.encode(), text, text, text
            )
            for number, text in enumerate(HOSTILE)
            for one in (1, 2)
        ]
        assert list(await store.page(0, 1_000)) == expected
        for number, text in enumerate(HOSTILE):
            mine = expected[2 * number : 2 * number + 2]
            assert list(await store.stream_pages({f"s-{text}": 0}, 9)) == mine
            assert dict(await store.find_commands([text])) == {text: AlreadyRecorded(tuple(mine))}
            # As a whole name and not within others, nor as a pattern.
            assert list(await store.stream_pages({text: 0, f"s-{text} ": 0, "s-%": 0}, 9)) == []
            for names in ({f"s-{text}": 0}, {f"s-{text}": 0, text: 0}):
                assert [one.version for one in await store.histories(names, 9)] == [2]
        assert dict(await store.find_commands(HOSTILE)).keys() == set(HOSTILE)
        after = tables(path)
    assert after[""] == before[""]
    assert (before['"events"'], after['"events"']) == ([(18,)], [(2 * len(HOSTILE),)])


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_names_keys_and_values_of_views_are_names_keys_and_values(tmp_path: Path, name: str) -> None:
    path = tmp_path / "v.db"
    table, other = ViewTable(name, 1, (name, "by")), ViewTable("other", 1, ("by",))
    start, end = Checkpoint(), Checkpoint(7, name, name, 3)
    views = tuple([StoredView(text, text.encode(), (text, number)) for number, text in enumerate(HOSTILE)])
    async with SqliteViewStore(path) as store:
        await store.prepare([table, other])
        assert await store.commit(other, ViewChanges(start, end, (StoredView("k", b"kept", (1,)),), ()))
        before = tables(path)
        assert await store.commit(table, ViewChanges(start, end, views, ()))
        assert dict(await store.load(table, HOSTILE)) == {text: text.encode() for text in HOSTILE}
        async with store.snapshot() as reader:
            for number, text in enumerate(HOSTILE):
                assert await reader.get(table, text) == text.encode()
                assert list(await reader.find(table, {name: text}, name, False, 9)) == [(text, text.encode())]
                both: dict[str, IndexValue | Condition] = {"by": number, name: text}
                assert list(await reader.find(table, both, "by", True, 9)) == [(text, text.encode())]
                assert list(await reader.find(table, {"by": text}, None, False, 9)) == []
            assert await reader.checkpoint(table) == end
            assert list(await reader.find(other, {}, None, False, 9)) == [("k", b"kept")]
        assert await store.commit(table, ViewChanges(end, start, (), HOSTILE))
        assert dict(await store.load(table, HOSTILE)) == {}
        assert dict(await store.load(other, ["k"])) == {"k": b"kept"}
        assert tables(path) == before
    async with SqliteViewStore(path) as store:
        assert dict(await store.prepare([table, other])) == {table: start, other: end}
