"""Projecting against a bare loop of upserts: one row for each event, as many in a transaction, with the same index."""

import asyncio
import functools
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bench.limits import ACCOUNT, AccountCommand, Deposit, OpenAccount, drive
from bench.measure import Line, Settings, folder, frozen_heap, in_turns, line
from bench.projections import BALANCES, Balance
from bus import Bus, Limits
from bus.core import Application
from bus.ports import ViewStore

BANK = Application(deciders=[ACCOUNT])
BANK_WITH_VIEWS = Application(deciders=[ACCOUNT], projections=[BALANCES])
ROWS_PER_TRANSACTION = Limits().projection_events_max
FEW, MANY = 10, 100_000
"""Views, which the events touch by turns."""

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


def rows_of(commands: Sequence[AccountCommand]) -> list[tuple[str, bytes, int]]:
    """What a projection makes of each command's event: key, payload and indexed value."""
    encode, views, rows = msgspec.json.Encoder().encode, dict[str, Balance](), list[tuple[str, bytes, int]]()
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
            asyncio.run(fill(path / "bus.db", commands))
            measured = in_turns(
                settings.turns,
                functools.partial(_caught_up, path / "bus.db", len(commands)),
                functools.partial(_bare, rows),
            )
        yield line("projection.sqlite upserts", measured, "events/s", at_least=0.5, commands=len(commands), views=views)


async def fill(path: Path, commands: Sequence[AccountCommand]) -> None:
    """An event store in which each command has recorded its event."""
    async with Bus(BANK, event_store=SqliteEventStore(path)) as bus:
        await drive(bus.send, commands, 1_024)


def _caught_up(path: Path, events: int) -> float:
    with folder() as folder_of_views:
        return asyncio.run(rate(path, SqliteViewStore(folder_of_views / "views.db"), events))


async def rate(path: Path, views: ViewStore, events: int) -> float:
    """Events a second from the opening of a bus with new views until they show the last event."""
    with frozen_heap():
        begin = time.perf_counter()
        async with Bus(BANK_WITH_VIEWS, event_store=SqliteEventStore(path), view_store=views) as bus:
            await bus.wait_settled(timeout=600)
            return events / (time.perf_counter() - begin)


def _bare(rows: Sequence[tuple[str, bytes, int]]) -> float:
    with folder() as path:
        connection = sqlite3.connect(path / "views.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
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
