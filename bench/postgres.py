"""PostgreSQL: commands a second from one process and from four, a lone sender's wait, and the lag of a view."""

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from adapters.postgres import PostgresEventStore, PostgresViewStore
from bench.commands import BANK
from bench.limits import ACCOUNTS, AccountCommand, Row, deposits, drive, openings, rows_of
from bench.measure import Line, Settings, Turns, frozen_heap, in_turns, line, note, quantile
from bench.postgres_limits import RawPostgres
from bench.projections import BANK_WITH_VIEWS, together
from bus import Bus
from tests.support.postgres import GIVEN, PostgresServer, installed

TARGETS = {64: 0.6, 1_024: 0.5}
"""By clients: the share of raw asyncpg, with as many rows a transaction, that commands must reach."""

PROCESSES = 4

_SCHEMAS = itertools.count()


@contextmanager
def server() -> Generator[str]:
    """A durable server, which flushes each commit to the disk: the one given, else the newest on this machine."""
    if GIVEN in os.environ:
        yield os.environ[GIVEN]
        return
    found = installed()
    newest = max(found, key=int)
    note(f"PostgreSQL {newest}, fsync=on, synchronous_commit=on")
    with PostgresServer(found[newest], durable=True) as started:
        yield started.url


def commands(settings: Settings) -> Iterator[Line]:
    """Against raw asyncpg, as many rows a transaction as there are senders, by arrays or COPY, whichever is faster."""
    with server() as url:
        for clients in [settings.clients] if settings.clients else TARGETS:
            count = settings.commands or 40_000
            sent, rows = deposits(count), rows_of(openings() + deposits(count))
            measured = in_turns(
                settings.turns, partial(_rate, url, sent, clients), partial(_raw_rate, url, rows, clients)
            )
            target = TARGETS.get(clients)
            yield line("commands.postgres", measured, "commands/s", at_least=target, clients=clients, commands=count)


def latency(settings: Settings) -> Iterator[Line]:
    """One sender's wait for its receipt, against one raw transaction."""
    count = settings.commands or 2_000
    with server() as url:
        waits, raw_waits = asyncio.run(_latencies(url, count, settings.turns))
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        value, limit = quantile(waits, share) * 1e3, quantile(raw_waits, share) * 1e3
        target = 2.0 if name == "p50" else None
        measured = Turns(value, limit, value / limit)
        yield line(f"latency.postgres {name}", measured, "ms", at_most=target, clients=1, commands=count)


async def _latencies(url: str, count: int, turns: int) -> tuple[list[float], list[float]]:
    """Seconds of each command and of each raw transaction, in `turns` blocks that take turns."""
    waits: list[float] = []
    raw_waits: list[float] = []
    rows = rows_of(openings() + deposits(count))
    raw = RawPostgres(url, _name())
    await raw.create()
    await raw.insert_all(rows[:ACCOUNTS], 500, 0)
    async with Bus(BANK, event_store=PostgresEventStore(new_schema(url))) as bus:
        await drive(bus.send, openings(), 64)
        share = count // turns
        with frozen_heap():
            for start in range(0, share * turns, share):
                for command in deposits(count)[start : start + share]:
                    begin = time.perf_counter()
                    await bus.send(command)
                    waits.append(time.perf_counter() - begin)
                part = rows[ACCOUNTS + start : ACCOUNTS + start + share]
                raw_waits += await raw.insert_each(part, ACCOUNTS + start)
    return waits, raw_waits


def projection(settings: Settings) -> Iterator[Line]:
    """How far the view lags while commands come as fast as they can, events and views on one server."""
    with server() as url:
        for clients in [settings.clients] if settings.clients else (64,):
            schema = new_schema(url)
            bus = Bus(BANK_WITH_VIEWS, event_store=PostgresEventStore(schema), view_store=PostgresViewStore(schema))
            yield asyncio.run(together("projection.postgres lag p99", bus, clients, settings.seconds, at_most=200))


def processes(settings: Settings) -> Iterator[Line]:
    """Four processes with an aggregate each to themselves, against one; and what the lock itself costs."""
    clients, count = settings.clients or 64, settings.commands or 40_000
    with server() as url:
        retried = 0

        def four() -> float:
            nonlocal retried
            figure, conflicts = _four(new_schema(url), clients, count)
            retried += conflicts
            return figure

        sent, rows = deposits(count), rows_of(openings() + deposits(count))
        measured = in_turns(settings.turns, four, partial(_rate, url, sent, clients))
        lock = in_turns(
            settings.turns,
            lambda: asyncio.run(_together(url, rows, clients, locked=True)),
            lambda: asyncio.run(_together(url, rows, clients, locked=False)),
        )
    assert lock.of_limit is not None
    yield line(
        "commands.postgres.4processes",
        measured,
        "commands/s",
        at_least=1.0,
        clients=clients,
        commands=count,
        conflicts=retried,
        raw_with_lock_of_without=lock.of_limit,
    )


def _four(url: str, clients: int, count: int) -> tuple[float, int]:
    """Commands a second over all processes, from when all are ready until the last is done; and their conflicts."""
    programs = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "bench.postgres_process",
                url,
                str(number),
                str(PROCESSES),
                str(clients),
                str(count),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
    begin = time.perf_counter()
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("go\n")
        program.stdin.flush()
    conflicts = 0
    for program in programs:
        assert program.stdout is not None
        conflicts += int(program.stdout.readline())
    seconds = time.perf_counter() - begin
    for program in programs:
        program.communicate()
    return count / seconds, conflicts


async def _together(url: str, rows: Sequence[Row], rows_per_transaction: int, *, locked: bool) -> float:
    """Rows a second by four connections."""
    raw = RawPostgres(url, _name())
    await raw.create()
    seconds = await raw.insert_together(rows, rows_per_transaction, PROCESSES, locked=locked)
    return len(rows) / seconds


def _rate(url: str, commands: Sequence[AccountCommand], clients: int) -> float:
    return asyncio.run(rate(new_schema(url), commands, clients))


def _raw_rate(url: str, rows: Sequence[Row], rows_per_transaction: int) -> float:
    return asyncio.run(raw_rate(url, rows, rows_per_transaction))


async def raw_rate(url: str, rows: Sequence[Row], rows_per_transaction: int) -> float:
    """Rows a second in the faster form, all but the openings timed."""
    found: list[float] = []
    for copies in (False, True):
        raw = RawPostgres(url, _name())
        await raw.create()
        await raw.insert_all(rows[:ACCOUNTS], 500, 0)
        insert = raw.copy_all if copies else raw.insert_all
        with frozen_heap():
            seconds = await insert(rows[ACCOUNTS:], rows_per_transaction, ACCOUNTS)
        found.append((len(rows) - ACCOUNTS) / seconds)
    return max(found)


async def rate(url: str, commands: Sequence[AccountCommand], clients: int) -> float:
    """Commands a second through a bus without projections."""
    async with Bus(BANK, event_store=PostgresEventStore(url)) as bus:
        await drive(bus.send, openings(), clients)
        with frozen_heap():
            seconds = await drive(bus.send, commands, clients)
    return len(commands) / seconds


def new_schema(url: str) -> str:
    """The URL of a schema that is not there yet."""
    return f"{url}{'&' if '?' in url else '?'}schema={_name()}"


def _name() -> str:
    return f"bench_{os.getpid()}_{next(_SCHEMAS)}"
