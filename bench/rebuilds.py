"""Rebuilding: events a second and memory while views are built anew, and what commands lose meanwhile."""

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bench.limits import deposits, drive, openings
from bench.measure import Line, Settings, Turns, folder, frozen_heap, line, note
from bench.projections import BANK_WITH_VIEWS
from bench.upserts import fill
from bus import Bus, Limits

SAMPLES = 10
PATIENT = Limits(wait_timeout_s=3_600.0)


def sqlite(settings: Settings) -> Iterator[Line]:
    """A million events into new views beside those that answer; then commands, with and without that beside them."""
    count = settings.commands or 1_000_000
    with folder() as path:
        asyncio.run(fill(SqliteEventStore(path / "bus.db"), [*openings(), *deposits(count)]))
        yield asyncio.run(_rebuilt(path, len(openings()) + count))
    with folder() as path:
        events = min(count, 300_000)
        asyncio.run(fill(SqliteEventStore(path / "bus.db"), [*openings(), *deposits(events)]))
        yield asyncio.run(_beside(path, settings.clients or 64, settings.turns))


async def _rebuilt(path: Path, events: int) -> Line:
    async with _opened(path) as bus:
        await bus.wait_settled(timeout=3_600)
        with frozen_heap():
            samples = [_resident_mib()]
            begin = time.perf_counter()
            await bus.ask_projection("balances", "rebuild")
            for part in range(1, SAMPLES + 1):
                while (building := bus.statistics().projections[0].building) is not None:
                    if building.position >= events * part // SAMPLES:
                        break
                    await asyncio.sleep(0.02)
                samples.append(_resident_mib())
            await bus.wait_settled(timeout=3_600)
            took = time.perf_counter() - begin
    return line(
        "rebuild.sqlite",
        Turns(events / took),
        "events/s",
        commands=events,
        seconds=took,
        resident_mib=" ".join(f"{one:.0f}" for one in samples),
        grown_mib=max(samples[2:]) - samples[1],
    )


async def _beside(path: Path, clients: int, turns: int) -> Line:
    """The rate of commands in turns with a rebuild under way and without one, in one bus."""
    found: list[tuple[float, float]] = []
    async with _opened(path) as bus:
        await bus.wait_settled(timeout=3_600)
        with frozen_heap():
            for turn in range(turns):
                alone = await _rate(bus, clients, 2 * turn)
                await bus.ask_projection("balances", "rebuild")
                beside = await _rate(bus, clients, 2 * turn + 1)
                building = bus.statistics().projections[0].building
                is_under_way = building is not None
                await bus.ask_projection("balances", "drop")
                await bus.wait_settled(timeout=3_600)
                note(f"turn {turn + 1} of {turns}: {beside:,.6g}, alone {alone:,.6g}: {beside / alone:.3f}")
                if is_under_way:
                    found.append((beside, alone))
    measured = Turns(
        value=statistics.median([value for value, _ in found]),
        limit=statistics.median([limit for _, limit in found]),
        of_limit=statistics.median([value / limit for value, limit in found]),
    )
    return line("commands.sqlite during a rebuild", measured, "commands/s", at_least=0.9, clients=clients)


async def _rate(bus: Bus, clients: int, seed: int, count: int = 40_000) -> float:
    return count / await drive(bus.send, deposits(count, seed=seed), clients)


def _opened(path: Path) -> Bus:
    return Bus(
        BANK_WITH_VIEWS,
        event_store=SqliteEventStore(path / "bus.db"),
        view_store=SqliteViewStore(path / "views.db"),
        limits=PATIENT,
    )


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
