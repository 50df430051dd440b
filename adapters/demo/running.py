"""Running: reads the records, plays them, asks the read models, closes the bus and audits the stores."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Final

import anyio
import msgspec
from rich.console import Console
from rich.progress import Progress

from adapters.cli import stores
from adapters.cli.failures import Refused
from adapters.cli.worker import stopped_by_signals
from adapters.demo.asking import Shown, ask, caught_up
from adapters.demo.audit import Audit, audit
from adapters.demo.live import live_board
from adapters.demo.playing import CHUNK_COMMANDS, REPORTED_ROWS_MAX, WATCHED_CHUNK_COMMANDS, Tally, chunks_of
from adapters.demo.poison import Story, poison_of, told
from adapters.demo.summary import Summary
from adapters.demo.traffic import TRAFFIC
from adapters.flights import FlightRecords, InputError, Played, commands, read_flights
from bus import Bus
from bus.ports import Telemetry
from domain.flight import Airport, ScheduleFlight

AIRPORTS_NAMED: Final = 20
"""Airports that a message names."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is to do."""

    path: Path
    store: str
    views: str
    limit: int | None = None
    watch: str | None = None
    """The airport whose board is shown meanwhile."""
    speed: float | None = None
    """Times real time; None is as fast as it goes."""
    poison: bool = False
    keep: bool = False
    """Whether what is poisoned stays so."""


class Ran(msgspec.Struct, frozen=True):
    """What a run did."""

    summary: Summary
    shown: Shown
    tally: Tally
    story: Story | None


async def run(wanted: Wanted, out: Console, progress: Progress, *, telemetry: Telemetry | None = None) -> Ran:
    """Does it all. An interrupt ends the playing, in order, and what was played until then is what was run.

    Raises `Refused` for an input that cannot be used, `Unusable` for stores that cannot.
    """
    event_store, view_store = stores.event_store(wanted.store), stores.view_store(wanted.views)
    started = time.perf_counter()
    task = progress.add_task("reading", total=None)
    try:
        records = read_flights(wanted.path, limit=wanted.limit)
    except InputError as error:
        raise Refused(str(error)) from error
    airport = None if wanted.watch is None else airport_of(wanted.watch, records)
    poison = poison_of(records, airport) if wanted.poison else None
    played = list(commands(records.flights))
    tally, stop = Tally(), anyio.Event()
    application = TRAFFIC if poison is None else poison.application()
    async with Bus(application, event_store=event_store, view_store=view_store, telemetry=telemetry) as bus:
        before = bus.statistics().position
        progress.update(task, description="playing", total=len(played), completed=0)
        async with AsyncExitStack() as stack:
            stack.enter_context(stopped_by_signals(stop.set))
            board = None
            if airport is not None:
                board = await stack.enter_async_context(live_board(bus, airport, out, stop))
            size = CHUNK_COMMANDS if board is None else WATCHED_CHUNK_COMMANDS
            chunks = await stack.enter_async_context(
                aclosing(chunks_of(played, stop=stop, size=size, speed=wanted.speed))
            )

            def note(chunk: Sequence[Played]) -> None:
                progress.advance(task, len(chunk))
                if board is not None:
                    board.played(chunk)

            position = await tally.play(bus, chunks, note)
            await caught_up(bus, position)
            seconds = time.perf_counter() - started
            story = None if poison is None else await told(bus, poison, wanted.keep)
        shown = await ask(bus, records, position)
    progress.update(task, description="checking", total=None)
    found = await audit(TRAFFIC, event_store, view_store)
    summary = summarise(wanted, records, played, tally=tally, shown=shown, found=found, before=before, seconds=seconds)
    return Ran(summary, shown, tally, story)


def airport_of(name: str, records: FlightRecords) -> Airport:
    """The airport that a user means; raises `Refused` for one from which no flight of the input departs."""
    known = Counter(flight.origin for flight in records.flights)
    airport = Airport(name.strip().upper())
    if airport in known:
        return airport
    listed = ", ".join(sorted([one for one, _ in known.most_common(AIRPORTS_NAMED)]))
    more = f" and {len(known) - AIRPORTS_NAMED:,} more" if len(known) > AIRPORTS_NAMED else ""
    raise Refused(
        f"no flight of the input departs from {name!r}, so there is no board to watch: its airports are "
        f"{listed or 'none, since it has no flights'}{more}"
    )


def summarise(
    wanted: Wanted,
    records: FlightRecords,
    played: Sequence[Played],
    *,
    tally: Tally,
    shown: Shown,
    found: Audit,
    before: int,
    seconds: float,
) -> Summary:
    """Nothing is lost if every event that was answered for is in the store, and the views are what the events say."""
    events = sum(tally.by_event.values())
    return Summary(
        input=str(wanted.path),
        flights=sum([isinstance(one.command, ScheduleFlight) for one in played[: tally.commands]]),
        commands=tally.commands,
        commands_left=len(played) - tally.commands,
        rejected=sum(tally.rejected.values()),
        rejected_by_code=dict(tally.rejected),
        duplicates=tally.duplicates,
        events=events,
        by_event=dict(sorted(tally.by_event.items())),
        by_status=shown.by_status,
        rows_unusable=len(records.unusable),
        unusable=records.unusable[:REPORTED_ROWS_MAX],
        seconds=round(seconds, 3),
        commands_per_second=round(tally.commands / seconds, 1),
        store=wanted.store,
        views=wanted.views,
        event_store_events_before=before,
        event_store_events=found.events,
        views_compared=found.views,
        views_match=found.views_match,
        dead_letters=found.letters,
        projection_lag_events=found.lag_events,
        faults=list(found.faults),
        nothing_lost=not found.faults and not found.lag_events and found.events == before + events,
        trace_id=tally.trace_id,
    )
