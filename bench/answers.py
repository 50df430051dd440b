"""Answers: what a change costs where a thousand watch, and how often a kept answer is given against a new one."""

import asyncio
import functools
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bench.limits import ACCOUNT, Deposit, drive, openings
from bench.measure import Line, Settings, Turns, folder, frozen_heap, in_turns, line, quantile
from bench.projections import BALANCES, Balance
from bus import Bus, Limits
from bus.core import Application, Query, Views, cached

WATCHERS = 1_000
CHANGES = 50


class GetBalance(Query[Balance | None]):
    account_id: str


class GetRichest(Query[list[Balance]]):
    limit: int = 20


class Desk:
    """Counts how often its handler is run."""

    def __init__(self) -> None:
        self.runs = 0

    async def balance(self, query: GetBalance, views: Views) -> Balance | None:
        self.runs += 1
        return await views.get(Balance, query.account_id)


async def richest(query: GetRichest, views: Views) -> list[Balance]:
    return await views.find(Balance, order_by="-balance", limit=query.limit)


KEPT = Application(deciders=[ACCOUNT], projections=[BALANCES], query_handlers=[cached(richest)])
NOT_KEPT = Application(deciders=[ACCOUNT], projections=[BALANCES], query_handlers=[richest])


def watching(settings: Settings) -> Iterator[Line]:
    """Evaluations for each change, and the time from its receipt until the last of all who watch has the answer."""
    yield asyncio.run(_watched(settings.clients or WATCHERS, settings.commands or CHANGES))


async def _watched(watchers: int, changes: int) -> Line:
    desk, times = Desk(), list[float]()
    application = Application(deciders=[ACCOUNT], projections=[BALANCES], query_handlers=[desk.balance])
    opened = openings(1)
    account_id = opened[0].account_id
    told = [0] * watchers
    some = asyncio.Event()

    async def watch(bus: Bus, number: int) -> None:
        async with aclosing(bus.watch(GetBalance(account_id))) as answers:
            async for answer in answers:
                told[number] = answer.position
                some.set()

    async def everybody(position: int) -> None:
        while min(told) < position:
            some.clear()
            await some.wait()

    # Changes are told one by one, as soon as they can be.
    async with Bus(application, limits=Limits(watch_interval_s=1e-6)) as bus:
        receipt = await bus.send(opened[0])
        await bus.wait_settled()
        tasks = [asyncio.create_task(watch(bus, number)) for number in range(watchers)]
        await everybody(receipt.position)
        before = desk.runs
        with frozen_heap():
            for _ in range(changes):
                receipt = await bus.send(Deposit(account_id, 1))
                begin = time.perf_counter()
                await everybody(receipt.position)
                times.append((time.perf_counter() - begin) * 1e3)
        evaluations = (desk.runs - before) / changes
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return line(
        "watch.shared",
        Turns(evaluations),
        "evaluations/change",
        at_most=1.0,
        clients=watchers,
        commands=changes,
        all_told_p50_ms=quantile(times, 0.5),
        all_told_max_ms=max(times),
    )


def kept(settings: Settings) -> Iterator[Line]:
    """Queries a second where answers are kept, against the same queries where they are not; nothing changes."""
    count = settings.commands or 2_000
    clients = settings.clients or 64
    with folder() as path:
        asyncio.run(_fill(path))
        case: Callable[[], float] = functools.partial(_asked, path, KEPT, count, clients)
        measured = in_turns(settings.turns, case, functools.partial(_asked, path, NOT_KEPT, count, clients))
    yield line("query.cached", measured, "queries/s", at_least=5.0, clients=clients, commands=count)


def _opened(path: Path, application: Application) -> Bus:
    events, views = SqliteEventStore(path / "bus.db"), SqliteViewStore(path / "views.db")
    return Bus(application, event_store=events, view_store=views)


async def _fill(path: Path) -> None:
    async with _opened(path, KEPT) as bus:
        await drive(bus.send, openings(), 64)
        await bus.wait_settled()


def _asked(path: Path, application: Application, count: int, clients: int) -> float:
    """Queries a second, for the twenty richest."""

    async def client(bus: Bus) -> None:
        for _ in range(count // clients):
            await bus.query(GetRichest())

    async def measured() -> float:
        async with _opened(path, application) as bus:
            await bus.query(GetRichest())
            with frozen_heap():
                begin = time.perf_counter()
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(clients):
                        tasks.create_task(client(bus))
                return count // clients * clients / (time.perf_counter() - begin)

    return asyncio.run(measured())
