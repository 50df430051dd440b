"""The command side: commands a second in memory and on SQLite, to one account and to many, and a lone sender's wait."""

import asyncio
import functools
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from adapters.sqlite import SqliteEventStore
from bench.limits import (
    ACCOUNT,
    ACCOUNTS,
    AccountCommand,
    BareLoop,
    RawSqlite,
    RawThread,
    Row,
    deposits,
    drive,
    openings,
    rows_of,
)
from bench.measure import Line, Settings, Turns, folder, frozen_heap, in_turns, line, quantile
from bus import Bus
from bus.core import Application

BANK = Application(deciders=[ACCOUNT])

SQLITE_TARGETS = {64: 0.55, 1_024: 0.4}
"""By clients: the share of raw `executemany`, with as many rows a transaction, that commands must reach."""


def memory(settings: Settings) -> Iterator[Line]:
    """Against a bare asyncio loop that does the same decisions and nothing else."""
    clients, count = settings.clients or 64, settings.commands or 50_000
    commands = deposits(count)

    async def bare() -> float:
        loop = BareLoop()
        await drive(loop.send, openings(), clients)
        with frozen_heap():
            seconds = await drive(loop.send, commands, clients)
        await loop.close()
        return count / seconds

    measured = in_turns(settings.turns, lambda: asyncio.run(rate(None, commands, clients)), lambda: asyncio.run(bare()))
    target = 0.9 if clients == 64 else None
    yield line("commands.memory", measured, "commands/s", at_least=target, clients=clients, commands=count)


def sqlite(settings: Settings) -> Iterator[Line]:
    """Against raw `executemany` of the same rows, as many in each transaction as there are senders."""
    for clients in [settings.clients] if settings.clients else SQLITE_TARGETS:
        count = settings.commands or 100_000
        rows = rows_of(openings() + deposits(count))
        measured = in_turns(
            settings.turns, on_disk(deposits(count), clients), functools.partial(raw_rate, rows, clients)
        )
        yield line(
            "commands.sqlite",
            measured,
            "commands/s",
            at_least=SQLITE_TARGETS.get(clients),
            clients=clients,
            commands=count,
        )


def hot(settings: Settings) -> Iterator[Line]:
    """Every command to one account, against the same number drawn at random."""
    clients, count = settings.clients or 64, settings.commands or 40_000
    measured = in_turns(
        settings.turns, on_disk(deposits(count, accounts=1), clients), on_disk(deposits(count), clients)
    )
    yield line("hot.sqlite", measured, "commands/s", at_least=1.0, clients=clients, commands=count)


def latency(settings: Settings) -> Iterator[Line]:
    """One sender's wait for its receipt, against one raw transaction in another thread."""
    count = settings.commands or 4_000
    waits, raw_waits = asyncio.run(_latencies(count, settings.turns))
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        value, limit = quantile(waits, share) * 1e3, quantile(raw_waits, share) * 1e3
        measured = Turns(value, limit, value / limit)
        target = 2.0 if name == "p50" else None
        yield line(f"latency.sqlite {name}", measured, "ms", at_most=target, clients=1, commands=count)


async def _latencies(count: int, turns: int) -> tuple[list[float], list[float]]:
    """Seconds of each command and of each raw transaction, in `turns` blocks that take turns."""
    waits: list[float] = []
    raw_waits: list[float] = []
    commands = iter(deposits(count))
    rows = iter(rows_of(openings() + deposits(count)))
    with folder() as path, RawSqlite(path / "raw.db") as raw:
        raw.insert(list(itertools.islice(rows, ACCOUNTS)))
        thread = RawThread(raw)
        try:
            async with Bus(BANK, event_store=SqliteEventStore(path / "bus.db")) as bus:
                await drive(bus.send, openings(), 64)
                with frozen_heap():
                    for _ in range(turns):
                        for command in itertools.islice(commands, count // turns):
                            begin = time.perf_counter()
                            await bus.send(command)
                            waits.append(time.perf_counter() - begin)
                        for row in itertools.islice(rows, count // turns):
                            begin = time.perf_counter()
                            await thread.insert([row])
                            raw_waits.append(time.perf_counter() - begin)
        finally:
            thread.close()
    return waits, raw_waits


def raw(settings: Settings) -> Iterator[Line]:
    """What SQLite itself can do, by rows a transaction."""
    for rows_per_transaction in [settings.clients] if settings.clients else (1, 64, 1_024):
        count = settings.commands or (100_000 if rows_per_transaction > 1 else 4_000)
        rows = rows_of(openings() + deposits(count))
        value = statistics.median([raw_rate(rows, rows_per_transaction) for _ in range(settings.turns)])
        yield line("limit.sqlite", Turns(value), "rows/s", commands=count, rows_per_transaction=rows_per_transaction)


def raw_rate(rows: Sequence[Row], rows_per_transaction: int) -> float:
    """Rows a second, all but the openings timed."""
    with folder() as path, RawSqlite(path / "raw.db") as raw:
        raw.insert(rows[:ACCOUNTS])
        with frozen_heap():
            return (len(rows) - ACCOUNTS) / raw.insert_all(rows[ACCOUNTS:], rows_per_transaction)


def on_disk(commands: Sequence[AccountCommand], clients: int) -> Callable[[], float]:
    """A measurement of `rate` on a new SQLite file."""

    def measured() -> float:
        with folder() as path:
            return asyncio.run(rate(path / "bus.db", commands, clients))

    return measured


async def rate(path: Path | None, commands: Sequence[AccountCommand], clients: int) -> float:
    """Commands a second through a bus without projections, in memory where there is no path."""
    store = None if path is None else SqliteEventStore(path)
    async with Bus(BANK, event_store=store) as bus:
        await drive(bus.send, openings(), clients)
        with frozen_heap():
            seconds = await drive(bus.send, commands, clients)
    return len(commands) / seconds
