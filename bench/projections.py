"""The read side: events a second into a view, and how far the view lags while commands come in."""

import asyncio
import functools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bench.commands import BANK, on_disk
from bench.limits import ACCOUNT, AccountCommand, AccountEvent, AccountOpened, deposits, drive, openings
from bench.measure import Line, Settings, Turns, folder, frozen_heap, in_turns, line, note, quantile
from bus import Bus
from bus.core import STOP, Application, Projection, Recorded, View

PROBE_INTERVAL_S = 0.02


class Balance(View):
    account_id: str
    balance: int
    movements: int


def project(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance:
    event = recorded.event
    if view is None or isinstance(event, AccountOpened):
        return Balance(key, 0, 0)
    return Balance(key, event.balance, view.movements + 1)


def account_of(recorded: Recorded[AccountEvent]) -> str:
    return recorded.stream_id


BALANCES = Projection(
    name="balances", version=1, view=Balance, project=project, key=account_of, indexes=("balance",), on_poison=STOP
)
BANK_WITH_VIEWS = Application(deciders=[ACCOUNT], projections=[BALANCES])


def sqlite(settings: Settings) -> Iterator[Line]:
    """Catching up with a store, against the commands that filled it; then both at once for a minute."""
    clients, count = settings.clients or 64, settings.commands or 40_000
    commands = deposits(count)
    with folder() as path:
        asyncio.run(_fill(path / "bus.db", commands))
        events = len(openings()) + count
        measured = in_turns(
            settings.turns, functools.partial(_caught_up, path / "bus.db", events), on_disk(commands, clients)
        )
    yield line("projection.sqlite catch-up", measured, "events/s", at_least=1.0, clients=clients, commands=count)
    if settings.seconds > 0:
        with folder() as path:
            bus = _opened(path / "bus.db", path / "views.db")
            yield asyncio.run(together("projection.sqlite lag p99", bus, clients, settings.seconds, at_most=100))


def _opened(events: Path, views: Path) -> Bus:
    return Bus(BANK_WITH_VIEWS, event_store=SqliteEventStore(events), view_store=SqliteViewStore(views))


async def _fill(path: Path, commands: Sequence[AccountCommand]) -> None:
    async with Bus(BANK, event_store=SqliteEventStore(path)) as bus:
        await drive(bus.send, openings(), 64)
        await drive(bus.send, commands, 64)


def _caught_up(path: Path, events: int) -> float:
    """Events a second from the opening of a bus with new views until they show the last event."""

    async def measured() -> float:
        with folder() as views, frozen_heap():
            begin = time.perf_counter()
            async with _opened(path, views / "views.db") as bus:
                await bus.wait_settled(timeout=300)
                return events / (time.perf_counter() - begin)

    return asyncio.run(measured())


async def together(case: str, bus: Bus, clients: int, seconds: float, *, at_most: float) -> Line:
    """Commands as fast as `clients` can send them, and the time from a receipt until the view shows its events."""
    lags: list[float] = []
    sent = 0

    async def client(number: int, bus: Bus, until: float) -> None:
        nonlocal sent
        while time.perf_counter() < until:
            for command in deposits(100, seed=number + sent):
                await bus.send(command)
            sent += 100

    async def probe(bus: Bus, until: float) -> None:
        for command in deposits(int(seconds / PROBE_INTERVAL_S) + 1, seed=0):
            if time.perf_counter() >= until:
                break
            receipt = await bus.send(command)
            begin = time.perf_counter()
            await bus.wait_projected(receipt, "balances", timeout=30)
            lags.append((time.perf_counter() - begin) * 1e3)
            await asyncio.sleep(PROBE_INTERVAL_S)

    async with bus:
        await drive(bus.send, openings(), clients)
        with frozen_heap():
            begin = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                group.create_task(probe(bus, begin + seconds))
                for number in range(clients):
                    group.create_task(client(number, bus, begin + seconds))
            took = time.perf_counter() - begin
    third = max(1, len(lags) // 3)
    first, last = quantile(lags[:third], 0.99), quantile(lags[-third:], 0.99)
    note(f"lag p99 in the first third {first:.1f} ms, in the last {last:.1f} ms")
    return line(
        case,
        Turns(quantile(lags, 0.99)),
        "ms",
        at_most=at_most,
        clients=clients,
        commands=sent,
        lag_p50_ms=quantile(lags, 0.5),
        first_third_p99_ms=first,
        last_third_p99_ms=last,
        commands_per_s=sent / took,
        seconds=took,
    )
