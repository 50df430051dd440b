"""Sample: a small store with rows of every shape, and its tables and rows as SQL, to be frozen with each new schema.

`python -m tests.adapters.postgres.sample events URL > tests/adapters/postgres/golden/events-N.sql` freezes what the
schema N of today makes of it, in an empty schema of a database; `views` likewise.
"""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import msgspec

from adapters.postgres import PostgresEventStore, PostgresViewStore, events, views
from adapters.postgres.schema import Layout
from adapters.postgres.view_tables import Table
from bus.core.builds import Standing
from bus.core.stored import (
    Append,
    Checkpoint,
    NewEvent,
    Snapshot,
    StoredEvent,
    StoredView,
    ViewChanges,
    ViewTable,
)
from tests.adapters.postgres.databases import schema_of
from tests.contracts.letters import letter, request

NOON: Final = datetime(2013, 1, 1, 12, 0, 0, 123_456, tzinfo=UTC)
LONG_AGO: Final = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)

# Commands with one event and with several; names with a version, and of two categories; contexts that are known in
# part, in whole and not at all; texts and bytes of all kinds, among them the character by which an append joins them.
BATCHES: Final = (
    (
        NOON,
        (
            Append(
                "flight-1",
                0,
                (NewEvent("flight-scheduled", b'{"a":1}'), NewEvent("flight-departed@2", b"{}"), NewEvent("gone", b"")),
                "c1",
                b"\x01\x02",
                "talk",
                "why",
                "00-1-2-01",
            ),
            Append("flight-2", 0, (NewEvent("flight-scheduled", bytes(range(256))),), "c2", b""),
            Append("flight-1", 3, (NewEvent("gone", b"null"),), "c3", b"\0", None, "c1"),
        ),
    ),
    (
        LONG_AGO,
        (
            Append("account-naïve-日本-😀", 0, (NewEvent("deposited", b"{}"),), 'x\'; DROP "a\\b"', b"\xff", "e"),
            Append("account-a\x1fb", 0, (NewEvent("line\nbreak", b"{}"), NewEvent("deposited", b"{}")), "c\x1f4", b"p"),
        ),
    ),
)
IDENTITY: Final = "7f0c2a52-6f2c-4d1e-9d53-0d5f4b1f6a10"
NAMES: Final = {
    "flight-scheduled": "flight",
    "flight-departed@2": "flight",
    "gone": "flight",
    "deposited": "account",
    "line\nbreak": "account",
}
SNAPSHOTS: Final = (Snapshot("flight-1", 3, "1:2a", b'{"status":"gone"}'), Snapshot("flight-2", 1, "2:0f", b"\0\xff"))

BOARD: Final = ViewTable("board", 1, ("origin", "at"))
BOARD_2: Final = ViewTable("board", 2, ("at",))
PLAIN: Final = ViewTable("plain", 1, ())
AGAIN: Final = ViewTable("board", 1, ("at",), 1)
AT_7: Final = Checkpoint(7, IDENTITY, "flight-1", 4)
VIEWS: Final = (
    StoredView("a", b'{"a":1}', ("EWR", 1)),
    StoredView("b", b"{}", (None, 1.5)),
    StoredView("naïve-日本", bytes(range(256)), ("", -(2**63))),
    StoredView("d", b"1", ("EWR", 2**63 - 1)),
    StoredView("e", b"2", ("EWR", None)),
)


def stored() -> list[StoredEvent]:
    """The events of the sample, as they are read."""
    found: list[StoredEvent] = []
    for recorded_at, batch in BATCHES:
        for entry in batch:
            for version, event in enumerate(entry.events, entry.expected_version + 1):
                found.append(
                    StoredEvent(
                        len(found) + 1,
                        entry.stream,
                        version,
                        event.name,
                        event.payload,
                        recorded_at,
                        entry.command_id,
                        entry.fingerprint,
                        entry.correlation_id,
                        entry.causation_id,
                        entry.traceparent,
                    )
                )
    return found


async def write_events(url: str) -> None:
    async with PostgresEventStore(url) as store:
        for recorded_at, batch in BATCHES:
            assert not (await store.append(batch, recorded_at)).refused
        await store.save_snapshots(SNAPSHOTS)


LETTERS = (letter("naïve-日本", 5, 'ValueError: "no"'), letter("naïve-日本", 6), letter("k", 6))
STANDING: Final = Standing(
    told_at=NOON,
    owner="host:1",
    events_per_s=0.5,
    batch_events=12.25,
    attempts=1,
    parked_keys=3,
    last_error='ValueError: "é"',
    stopped=None,
)
REQUESTS = (request(1), msgspec.structs.replace(request(2), answered_at=NOON, is_done=True, answer="it's done"))


async def write_views(url: str) -> None:
    async with PostgresViewStore(url) as store:
        at = await store.prepare([BOARD, BOARD_2, PLAIN])
        assert await store.commit(BOARD, ViewChanges(at[BOARD], AT_7, VIEWS, ()))
        assert await store.commit(PLAIN, ViewChanges(at[PLAIN], AT_7, (StoredView("k", b"1"),), (), 0, LETTERS))
        await store.build(AGAIN, NOON)
        assert await store.commit(AGAIN, ViewChanges(Checkpoint(), AT_7, (StoredView("a", b"1", (1,)),), ()))
        await store.tell(AGAIN, STANDING)
        for request in REQUESTS:
            await store.ask(request)
        await store.answer(REQUESTS[1])


async def dumped(url: str, kind: str) -> str:
    """Statements with `{schema}` for the schema's name: the tables as they are made, then their rows."""
    layout: Layout = events.LAYOUT if kind == "events" else views.LAYOUT
    await (write_events if kind == "events" else write_views)(url)
    made = [f"CREATE SCHEMA {{schema}};\n{''.join(layout.migrations())}".replace("{identity}", _literal(IDENTITY))]
    if kind == "views":
        made += [
            f"{Table(key, table.indexes).create()};\n" for key, table in enumerate((BOARD, BOARD_2, PLAIN, AGAIN), 1)
        ]
    schema = schema_of(url)
    connection = await asyncpg.connect(url.partition("?")[0])
    try:
        tables = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind = 'r' ORDER BY relname",
            schema,
        )
        rows: list[str] = []
        for (table,) in tables:
            if table == layout.table:
                continue
            rows += [
                f"INSERT INTO {{schema}}.{table} VALUES ({', '.join([_literal(value) for value in row])});\n"
                for row in await connection.fetch(f"SELECT * FROM {schema}.{table} AS t ORDER BY 1, t::text")
            ]
    finally:
        await connection.close()
    versions = len(layout.migrations())
    return (
        f"-- Frozen: {'an event' if kind == 'events' else 'a view'} store as schema version {versions} wrote it. "
        "Never change this file; later schemas get files of their own.\n"
        f"{''.join(made)}\nUPDATE {{schema}}.{layout.table} SET schema_version = {versions};\n{''.join(rows)}"
    )


def _literal(value: Any) -> str:
    """A value in SQL, in ASCII."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'"
    if isinstance(value, datetime):
        assert value.year == 1, "the only times are those before all others"
        return "'-infinity'"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"ARRAY[{', '.join([_literal(one) for one in value])}]::text[]"
    text = str(value).replace("'", "''")
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text if isinstance(value, int) else f"'{text}'"
    escaped = [one if one.isascii() and one.isprintable() and one != "\\" else f"\\U{ord(one):08x}" for one in text]
    return f"E'{''.join(escaped)}'"


if __name__ == "__main__":
    sys.stdout.write(asyncio.run(dumped(sys.argv[2], sys.argv[1])))
