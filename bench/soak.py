"""The soak: hours of use in minutes, and whether anything grows or is left behind.

    python -m bench --case soak --seconds 600
    make soak SECONDS=600

Rounds follow each other. In each, a bus is opened on the same two SQLite files, many users do everything at once, and
the bus is closed. In every third round a projection fails and stops; the next opening mends it, and it catches up.
Aggregates are passivated all the time, since few may stay and none for long.

Memory, objects, tasks, threads, files and logs are sampled in the rounds and, what counts, between them, when nothing
is open. Memory and objects may not grow over the second half by more than chance, of tasks, threads, files and logs
none may be left, and in the end the views must count every event once. Else the exit code is 1.
"""

import asyncio
import gc
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bench.measure import Line, Settings, folder, note
from bench.soak_load import Fault, GetDepots, GetTraffic, SendParcel, User, application
from bench.soak_samples import SIGNIFICANT, Sample, Trend, most, sample, second_half, trend
from bus import Bus, Limits, ProjectionStopped
from bus.core import Application

LIMITS = Limits(
    residents_max=300,
    idle_timeout_s=1.0,
    cached_views_max=500,
    feed_events_max=2_000,
    projection_backoff_s=0.01,
    projection_attempts_max=3,
)
HEADS_MAX = 2_000
CACHE_BYTES = 32 * 1024 * 1024
"""For all of SQLite. By their own settings the connections' caches go on to grow with the files for an hour; what is to
be seen is whether anything grows that has no such bound."""

USERS = 24
PAUSE_S = 0.02
STEP_S = 0.06
"""What a user's step takes with its pause, about; each waits for its commits, and those for the disk."""
ROUND_S = 10.0
FAULT_EVERY = 3
EXPECTED = ("receipt", "answer", "rejected.", "version-conflict", "projection-stopped")
"""How outcomes may begin."""


class Found(msgspec.Struct):
    """What a soak found."""

    rounds: list[Sample]
    """Between the rounds, when nothing is open; the first before all of them."""
    peak: Sample
    """The most of each within the rounds."""
    outcomes: Counter[str] = msgspec.field(default_factory=Counter[str])
    faults: list[str] = msgspec.field(default_factory=list[str])
    """What must not be, in words."""
    stops: int = 0
    passivated: int = 0
    events: int = 0
    """In the store at the end."""


def soak(settings: Settings) -> Iterator[Line]:
    """The load for some minutes, and what is to be said about it."""
    until = time.monotonic() + settings.seconds
    steps = max(1, round(min(ROUND_S, settings.seconds / 8) / STEP_S))
    with folder() as path:
        found = asyncio.run(run(path, lambda _: time.monotonic() < until, steps=steps, pause_s=PAUSE_S))
    yield from judged(found, settings.clients or USERS)


async def run(path: Path, goes_on: Callable[[int], bool], *, steps: int, pause_s: float, users: int = USERS) -> Found:
    """Rounds of so many steps of each user, until `goes_on`, given the number of the round, says no."""
    fault, begin = Fault(), time.monotonic()
    soaked = application(fault)
    with_limit = sqlite3.connect(":memory:")
    before = with_limit.execute("PRAGMA soft_heap_limit").fetchone()[0]
    with_limit.execute(f"PRAGMA soft_heap_limit = {CACHE_BYTES}")
    try:
        gc.collect()
        first = sample(0.0, path)
        found = Found([first], first)
        number = 0
        while goes_on(number):
            fault.is_on = False
            async with opened(soaked, path) as bus:
                watching = asyncio.create_task(_sample_within(path, begin, found))
                async with asyncio.TaskGroup() as group:
                    for user in range(users):
                        chance = random.Random(f"{number}/{user}")
                        group.create_task(User(bus, chance, found.outcomes).live(steps, pause_s))
                if number % FAULT_EVERY == 1:
                    fault.is_on = True
                    await _see_it_stop(bus, number, found)
                watching.cancel()
                await asyncio.wait([watching])
                found.passivated += bus.statistics().passivated
                if bus.statistics().restarts:
                    found.faults.append(f"a task of the bus crashed in round {number}")
            del bus
            number += 1
            gc.collect()
            found.rounds.append(sample(time.monotonic() - begin, path))
            note(msgspec.json.encode(found.rounds[-1]).decode())
        fault.is_on = False
        await _count(soaked, path, found)
    finally:
        with_limit.execute(f"PRAGMA soft_heap_limit = {before}")
        with_limit.close()
    return found


def opened(soaked: Application, path: Path) -> Bus:
    events = SqliteEventStore(path / "soak.db", heads_max=HEADS_MAX)
    return Bus(soaked, event_store=events, view_store=SqliteViewStore(path / "soak-views.db"), limits=LIMITS)


async def _sample_within(path: Path, begin: float, found: Found) -> None:
    while True:
        found.peak = most(found.peak, sample(time.monotonic() - begin, path))
        await asyncio.sleep(1.0)


async def _see_it_stop(bus: Bus, number: int, found: Found) -> None:
    """The projection meets an event that it cannot process; whoever waits for it is told."""
    receipt = await bus.send(SendParcel(f"stops-{number}", 2))
    try:
        await bus.wait_projected(receipt, "depots", timeout=60)
    except ProjectionStopped:
        found.stops += 1
    else:
        found.faults.append(f"the projection of round {number} did not stop")


async def _count(soaked: Application, path: Path, found: Found) -> None:
    """Every event is in the views once, also in those whose projection was stopped and mended."""
    async with opened(soaked, path) as bus:
        await bus.wait_settled(timeout=60)
        counted = {one.category: one.events for one in await bus.query(GetTraffic())}
        at_depots = sum([one.events for one in await bus.query(GetDepots())])
        found.events = bus.statistics().position
    if sum(counted.values()) != found.events or at_depots != counted.get("parcel", 0):
        found.faults.append(f"of {found.events} events the views count {counted} and at depots {at_depots}")


def judged(found: Found, users: int) -> Iterator[Line]:
    """The results: two slopes, and what was left behind."""
    first, last = found.rounds[0], found.rounds[-1]
    half = second_half(found.rounds)
    assert len(half) >= 3, "too few rounds to tell growth from chance: give it more seconds"
    memory = trend([(one.seconds, one.rss_kib) for one in half])
    objects = trend([(one.seconds, float(one.objects)) for one in half])
    blocks = trend([(one.seconds, float(one.blocks)) for one in half])
    yield _sloping("soak KiB", memory, half, users, at_the_middle=half[0].rss_kib, at_the_end=last.rss_kib)
    yield _sloping(
        "soak objects",
        objects,
        half,
        users,
        at_the_middle=half[0].objects,
        at_the_end=last.objects,
        # No more than told: the soak's own notes are among them.
        blocks_per_s=blocks.slope,
    )
    faults = faults_of(found)
    yield Line(
        case="soak left behind",
        clients=users,
        commands=sum([count for code, count in found.outcomes.items() if code != "answer"]),
        value=float(len(faults)),
        unit="faults",
        target="<= 0",
        met=not faults,
        more={
            "seconds": last.seconds,
            "rounds": len(found.rounds) - 1,
            "events": found.events,
            "receipts": found.outcomes["receipt"],
            "refusals": sum([count for code, count in found.outcomes.items() if code not in ("receipt", "answer")]),
            "answers": found.outcomes["answer"],
            "passivated": found.passivated,
            "projections_stopped": found.stops,
            "tasks": f"{first.tasks} to {last.tasks}, at most {found.peak.tasks}",
            "threads": f"{first.threads} to {last.threads}, at most {found.peak.threads}",
            "files": f"{first.files} to {last.files}, at most {found.peak.files}",
            "log_kib_max": found.peak.log_kib,
            "faults": "; ".join(faults),
        },
    )


def faults_of(found: Found) -> list[str]:
    """All that must not be, in words."""
    odd = [f"{count} times {code}" for code, count in found.outcomes.items() if not code.startswith(EXPECTED)]
    return [*left_behind(found.rounds), *found.faults, *odd]


def left_behind(rounds: Sequence[Sample]) -> list[str]:
    """What was there between rounds that was not there before them."""
    first = rounds[0]
    left: list[str] = []
    for what in ("tasks", "threads", "files", "log_kib"):
        more = max([getattr(one, what) for one in rounds[1:]], default=0) - getattr(first, what)
        if more > 0:
            left.append(f"{more:g} more {what} than before the first round")
    return left


def _sloping(case: str, found: Trend, half: Sequence[Sample], users: int, **more: float) -> Line:
    return Line(
        case=case,
        clients=users,
        value=found.slope,
        unit=f"{case.rpartition(' ')[2]} a second",
        target=f"<= {SIGNIFICANT:g} x noise",
        met=not found.grows,
        more={"noise": found.noise, "samples": len(half), **more},
    )
