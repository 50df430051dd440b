"""Actors in memory: how fast cold ones are recovered, and what an idle one weighs."""

import asyncio
import gc
import itertools
import shutil
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from adapters.sqlite import SqliteEventStore
from bench.commands import BANK
from bench.limits import (
    ACCOUNT,
    ACCOUNTS,
    AccountCommand,
    Deposit,
    OpenAccount,
    RawSqlite,
    deposits,
    drive,
    openings,
    rows_of,
)
from bench.measure import Line, Settings, Turns, folder, frozen_heap, in_turns, line
from bus import Bus
from bus.core import Application, Command, Decider, Event, Snapshots, State
from bus.core.limits import Limits


def recovery(settings: Settings) -> Iterator[Line]:
    """The first command to cold aggregates, against fetching and decoding the same events by hand."""
    long = settings.commands or 10_000
    one: list[AccountCommand] = [OpenAccount("000000", "one"), *deposits(long - 1, accounts=1)]
    yield _recovered("recover.sqlite stream", one, deposits(1, accounts=1), settings, target=2.0)
    many = openings() + deposits(9 * ACCOUNTS)
    firsts: list[AccountCommand] = [Deposit(command.account_id, 1) for command in openings()]
    yield _recovered("recover.sqlite aggregates", many, firsts, settings, target=None)


def _recovered(
    case: str, history: list[AccountCommand], firsts: list[AccountCommand], settings: Settings, target: float | None
) -> Line:
    rows = rows_of(history)
    with folder() as path, RawSqlite(path / "raw.db") as raw:
        raw.insert(rows)
        streams = [f"account-{command.account_id}" for command in firsts]
        asyncio.run(_record(path / "bus.db", history))

        def cold() -> float:
            # A copy, since each turn adds its own events.
            shutil.copyfile(path / "bus.db", path / "turn.db")
            return asyncio.run(_first(path / "turn.db", firsts))

        def bare() -> float:
            with frozen_heap():
                return raw.fetch_and_decode(streams)[1] * 1e3

        measured = in_turns(settings.turns, cold, bare)
    return line(case, measured, "ms", at_most=target, clients=len(firsts), commands=len(firsts), events=len(rows))


async def _record(path: Path, history: Sequence[AccountCommand]) -> None:
    async with Bus(BANK, event_store=SqliteEventStore(path)) as bus:
        for outcome in await bus.send_many(history):
            assert not isinstance(outcome, Exception), outcome


async def _first(path: Path, firsts: Sequence[AccountCommand]) -> float:
    """Milliseconds until the first command to each of the aggregates has its receipt, the commit included."""
    async with Bus(BANK, event_store=SqliteEventStore(path)) as bus:
        with frozen_heap():
            return await drive(bus.send, firsts, len(firsts)) * 1e3


SNAPSHOT_EVENTS = 1_000

KEPT = Decider(
    category=ACCOUNT.category,
    initial=ACCOUNT.initial,
    identify=ACCOUNT.identify,
    decide=ACCOUNT.decide,
    evolve=ACCOUNT.evolve,
    snapshots=Snapshots(version=1, every_events=SNAPSHOT_EVENTS),
)
BANK_WITH_SNAPSHOTS = Application(deciders=[KEPT])


def snapshot(settings: Settings) -> Iterator[Line]:
    """One long aggregate, cold: recovered from its last snapshot and a tail of 999, against from its first event."""
    count = settings.commands or 100_000
    with folder() as path:
        events = asyncio.run(_record_with_snapshots(path / "bus.db", count))

        def loaded(application: Application) -> float:
            return asyncio.run(_loaded(path / "bus.db", application, events))

        measured = in_turns(settings.turns, partial(loaded, BANK_WITH_SNAPSHOTS), partial(loaded, BANK))
    yield line(
        "recover.snapshot",
        measured,
        "ms",
        at_most=1 / 40,
        clients=1,
        events=events,
        tail_events=SNAPSHOT_EVENTS - 1,
    )


async def _loaded(path: Path, application: Application, version: int) -> float:
    """Milliseconds until the aggregate's state is there, in a bus that has read nothing yet."""
    async with Bus(application, event_store=SqliteEventStore(path)) as bus:
        with frozen_heap():
            begin = time.perf_counter()
            loaded = await bus.load(application.deciders[0], "000000")
            took = time.perf_counter() - begin
    assert loaded.version == version
    return took * 1e3


async def _record_with_snapshots(path: Path, count: int) -> int:
    """Records at least so many events of one aggregate, 999 of them after its last snapshot; returns how many."""
    ahead = iter([OpenAccount("000000", "one"), *deposits(count + SNAPSHOT_EVENTS, accounts=1)])
    async with Bus(BANK_WITH_SNAPSHOTS, event_store=SqliteEventStore(path, synchronous="NORMAL")) as bus:
        for outcome in await bus.send_many(itertools.islice(ahead, count - SNAPSHOT_EVENTS)):
            assert not isinstance(outcome, Exception), outcome
        await bus.wait_settled()
        before = bus.statistics().snapshots
        # One by one, so that each has a turn to itself, after which its state may be kept.
        while bus.statistics().snapshots == before:
            await bus.send(next(ahead))
            await bus.wait_settled()
        for command in itertools.islice(ahead, SNAPSHOT_EVENTS - 1):
            await bus.send(command)
        await bus.wait_settled()
        assert bus.statistics().snapshots == before + 1
        return bus.statistics().events


# ---------------------------------------------------------------- what an idle actor weighs


class Touch(Command):
    thing_id: str


class Touched(Event, tag="touched"): ...


class Thing(State): ...


def decide(command: Touch, thing: Thing) -> Sequence[Touched]:
    return ()


def evolve(thing: Thing, event: Touched) -> Thing:
    return thing


def identify(command: Touch) -> str:
    return command.thing_id


THING = Decider(category="thing", initial=Thing(), identify=identify, decide=decide, evolve=evolve)
THINGS = Application(deciders=[THING])


def weight(settings: Settings) -> Iterator[Line]:
    """Bytes of an idle actor whose state is shared, its place in the directory and its name included."""
    count = settings.commands or 100_000
    value = asyncio.run(_weighed(count))
    yield line("resident.memory", Turns(value), "bytes", at_most=1_024, commands=count)


async def _weighed(count: int) -> float:
    async with Bus(THINGS, limits=Limits(residents_max=max(count, 1), idle_timeout_s=3_600.0)) as bus:
        await bus.send(Touch("warm"))
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        gate = asyncio.Semaphore(1_000)

        async def touch(number: int) -> None:
            async with gate:
                await bus.send(Touch(f"{number:08d}"))

        for first in range(0, count, 1_000):
            await asyncio.gather(*[touch(number) for number in range(first, min(first + 1_000, count))])
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return (after - before) / count
