"""Projecting against a bare loop of upserts: one row for each event, as many in a transaction, with the same index."""

import asyncio
import functools
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from adapters.postgres import PostgresEventStore, PostgresViewStore
from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bench.limits import ACCOUNT, AccountCommand, Deposit, OpenAccount, drive
from bench.measure import Line, Settings, folder, frozen_heap, in_turns, line, short_waits
from bench.postgres import new_schema, server
from bench.postgres_upserts import RawUpserts, UpsertRow
from bench.projections import BALANCES, Balance
from bus import Bus, Limits
from bus.core import Application
from bus.ports import EventStore, ViewStore

BANK = Application(deciders=[ACCOUNT])
BANK_WITH_VIEWS = Application(deciders=[ACCOUNT], projections=[BALANCES])
ROWS_PER_TRANSACTION = Limits().projection_events_max
FEW, MANY = 10, 100_000
"""Views, which the events touch by turns."""

_SETTINGS = ("journal_mode = WAL", "synchronous = NORMAL", "wal_autocheckpoint = 4000", "cache_size = -65536")
"""Those of the view store."""

_CREATE = "CREATE TABLE views(key TEXT PRIMARY KEY NOT NULL, payload BLOB NOT NULL, balance) WITHOUT ROWID"
_INDEX = "CREATE INDEX by_balance ON views(balance, key)"
_UPSERT = """
INSERT INTO views VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET payload = excluded.payload, balance = excluded.balance
"""


def events_of(views: int, count: int) -> list[AccountCommand]:
    """One that makes each view, then `count` that change them by turns."""
    return [
        *[OpenAccount(f"account-{number}", "somebody") for number in range(views)],
        *[Deposit(f"account-{number % views}", 1 + number % 100) for number in range(count)],
    ]


def rows_of(commands: Sequence[AccountCommand]) -> list[UpsertRow]:
    """What a projection makes of each command's event: key, payload and indexed value."""
    encode, views, rows = msgspec.json.Encoder().encode, dict[str, Balance](), list[UpsertRow]()
    for command in commands:
        key, before = command.account_id, views.get(command.account_id)
        if before is None or not isinstance(command, Deposit):
            view = Balance(key, 0, 0)
        else:
            view = Balance(key, before.balance + command.amount, before.movements + 1)
        views[key] = view
        rows.append((key, encode(view), view.balance))
    return rows


def sqlite(settings: Settings) -> Iterator[Line]:
    """Ten views, and a hundred thousand, each against the bare loop."""
    for views, count in ((FEW, settings.commands or 100_000), (MANY, settings.commands or 100_000)):
        commands = events_of(views, count)
        rows = rows_of(commands)
        with folder() as path:
            asyncio.run(fill(SqliteEventStore(path / "bus.db"), commands))
            measured = in_turns(
                settings.turns,
                functools.partial(_caught_up, path / "bus.db", len(commands)),
                functools.partial(_bare, rows),
            )
        yield line("projection.sqlite upserts", measured, "events/s", at_least=0.5, commands=len(commands), views=views)


def postgres(settings: Settings) -> Iterator[Line]:
    """The same with events and views on one server."""
    with server() as url:
        for views, count in ((FEW, settings.commands or 100_000), (MANY, settings.commands or 100_000)):
            commands = events_of(views, count)
            events = new_schema(url)
            asyncio.run(fill(PostgresEventStore(events), commands))
            bare = RawUpserts(url, together=views >= ROWS_PER_TRANSACTION)
            measured = in_turns(
                settings.turns,
                functools.partial(_caught_up_on_server, events, url, len(commands)),
                functools.partial(_bare_on_server, bare, rows_of(commands)),
            )
            yield line(
                "projection.postgres upserts", measured, "events/s", at_least=0.5, commands=len(commands), views=views
            )


async def fill(store: EventStore, commands: Sequence[AccountCommand]) -> None:
    """Has each command record its event."""
    async with Bus(BANK, event_store=store) as bus:
        await drive(bus.send, commands, 1_024)


def _caught_up(path: Path, events: int) -> float:
    with folder() as folder_of_views:
        return asyncio.run(rate(SqliteEventStore(path), SqliteViewStore(folder_of_views / "views.db"), events))


def _caught_up_on_server(schema: str, url: str, events: int) -> float:
    return asyncio.run(rate(PostgresEventStore(schema), PostgresViewStore(new_schema(url)), events))


async def rate(store: EventStore, views: ViewStore, events: int) -> float:
    """Events a second from the opening of a bus with new views until they show the last event."""
    with frozen_heap(), short_waits():
        begin = time.perf_counter()
        async with Bus(BANK_WITH_VIEWS, event_store=store, view_store=views) as bus:
            await bus.wait_settled(timeout=600)
            return events / (time.perf_counter() - begin)


def _bare(rows: Sequence[UpsertRow]) -> float:
    with folder() as path:
        connection = sqlite3.connect(path / "views.db", isolation_level=None)
        for setting in _SETTINGS:
            connection.execute(f"PRAGMA {setting}")
        connection.execute(_CREATE)
        connection.execute(_INDEX)
        connection.execute("CREATE TABLE checkpoints(position INTEGER NOT NULL)")
        connection.execute("INSERT INTO checkpoints VALUES (0)")
        with frozen_heap():
            begin = time.perf_counter()
            for start in range(0, len(rows), ROWS_PER_TRANSACTION):
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(_UPSERT, rows[start : start + ROWS_PER_TRANSACTION])
                connection.execute("UPDATE checkpoints SET position = ?", (start,))
                connection.execute("COMMIT")
            took = time.perf_counter() - begin
        connection.close()
    return len(rows) / took


def _bare_on_server(bare: RawUpserts, rows: Sequence[UpsertRow]) -> float:
    return len(rows) / asyncio.run(bare.run(rows, ROWS_PER_TRANSACTION))
