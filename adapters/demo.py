"""Demo: the composition root that plays flight records through a bus and proves that nothing was lost."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import anyio
import msgspec
from cyclopts import Parameter, validators
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from adapters.audit import Audit, audit
from adapters.cli import stores, tables
from adapters.cli.failures import Failure, Refused
from adapters.flights import FlightRecords, InputError, Played, carrier_names, commands, read_flights
from adapters.flights.zones import DATA, zone
from adapters.summary import Summary, sentences
from bus import Application, Bus, BusError, CommandIdReused, ProjectionTimeout, Rejected
from bus.ports import Telemetry
from domain.flight import FLIGHT, Airport
from readmodels.aircraft_day import AIRCRAFT_DAYS, AircraftDay, GetAircraftDay, aircraft_day, day_of
from readmodels.departures import DEPARTURES, Departure, GetDepartures, departures
from readmodels.punctuality import PUNCTUALITY, GetPunctuality, PunctualityFigures, Scope, punctuality
from readmodels.statuses import STATUSES, CountByStatus, statuses

TRAFFIC = Application(
    deciders=[FLIGHT],
    projections=[DEPARTURES, PUNCTUALITY, AIRCRAFT_DAYS, STATUSES],
    query_handlers=[departures, punctuality, aircraft_day, statuses],
)
"""The demo as one value."""

WEEK: Final = DATA / "flights-2013-01-01_07.csv.gz"
CHUNK_COMMANDS: Final = 4_096
"""Commands handed to the bus at a time; between two of these progress is shown."""
SAMPLED: Final = 0.01
"""Share of the commands that are traced where that is asked for."""
BOARD_LINES: Final = 8
ROUTES_SHOWN: Final = 10
WIDTH: Final = 100
"""Columns of a file or pipe, so that tables are written whole."""
REPORTED_ROWS_MAX: Final = 100
"""Unusable rows that are listed; all are counted."""


class Shown(msgspec.Struct, frozen=True):
    """What the read models say at the end of a run."""

    boards: dict[str, list[Departure]]
    carriers: list[PunctualityFigures]
    routes: list[PunctualityFigures]
    day: AircraftDay | None
    by_status: dict[str, int]


class Tally:
    """Counts what became of the commands."""

    def __init__(self) -> None:
        self.commands = 0
        self.duplicates = 0
        self.by_event: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.rejections: list[str] = []
        self.trace_id: str | None = None
        """Of a command that was traced."""

    async def play(self, bus: Bus, played: Iterable[Played], shown: Callable[[int], None]) -> int:
        """Sends everything, chunk by chunk, and returns the last position. `shown` is told after each chunk.

        Raises `Failure` when the store fails; whatever was answered is recorded, and can be played again.
        """
        position = bus.statistics().position
        for chunk in chunks(played):
            ids = [one.command_id for one in chunk]
            for outcome in await bus.send_many([one.command for one in chunk], command_ids=ids):
                self.commands += 1
                if isinstance(outcome, BusError):
                    self._refused(outcome)
                    continue
                position = max(position, outcome.position)
                self.trace_id = self.trace_id or outcome.trace_id
                if outcome.duplicate:
                    self.duplicates += 1
                    continue
                for event in outcome.events:
                    self.by_event[str(event.__struct_config__.tag)] += 1
            shown(len(chunk))
        return position

    def _refused(self, error: BusError) -> None:
        if not isinstance(error, Rejected | CommandIdReused):
            raise Failure(
                f"stopped after {self.commands - 1:,} commands: {error}. What was recorded is safe: run it again with "
                "the same --store to go on"
            ) from error
        self.rejected[error.code] += 1
        if len(self.rejections) < REPORTED_ROWS_MAX:
            self.rejections.append(str(error))


def chunks(played: Iterable[Played]) -> Iterator[list[Played]]:
    """The commands in lists of `CHUNK_COMMANDS`."""
    remaining = iter(played)
    while chunk := list(islice(remaining, CHUNK_COMMANDS)):
        yield chunk


def demo(
    *,
    input: Annotated[Path, Parameter(show_default=False)] = WEEK,
    store: str | None = None,
    views: str | None = None,
    limit: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None,
    otlp: str | None = None,
    json: bool = False,
) -> int:
    """Play flight records through the bus and show what the read models make of them.

    Parameters
    ----------
    input
        Flight records as CSV, compressed or not; by default a week of flights from New York.
    store
        The event store, such as sqlite:///flights.db. By default a new one in a temporary folder. A run on an existing
        store continues it: what is recorded already is not recorded again.
    views
        Where the read models are kept; by default beside the event store.
    limit
        Play only the first so many flights of the file.
    otlp
        Send traces to this server, such as http://localhost:4318: of one command in a hundred, or as the environment's
        OTEL_TRACES_SAMPLER says.
    json
        Write the summary as one JSON object, and nothing else, to standard output.
    """
    if store is None:
        store = f"sqlite:///{_new_folder()}/flights.db"
    views = views or stores.views_beside(store)
    with ExitStack() as stack:
        telemetry = None if otlp is None else _sending(otlp, stack)
        return anyio.run(partial(_demo, input, store, views, limit, json, telemetry=telemetry))


def _sending(url: str, stack: ExitStack) -> Telemetry:
    """A telemetry that sends to a server, and what is left when the stack is closed."""
    try:
        # Takes a third of a second, and its packages are an extra.
        from adapters.otel.otlp import sending_to  # noqa: PLC0415

        return stack.enter_context(sending_to(url, service="doubledecker-demo", sampled=SAMPLED))
    except ModuleNotFoundError as error:
        raise Refused(f"--otlp needs the package {error.name}: pip install 'doubledecker[otel]'") from error
    except ValueError as error:
        raise Refused(str(error)) from error


def _new_folder() -> str:
    try:
        return tempfile.mkdtemp(prefix="doubledecker-")
    except OSError as error:
        raise Refused(f"cannot make a temporary folder ({error}); say where the events go with --store") from error


async def _demo(
    path: Path, store: str, views: str, limit: int | None, json: bool, *, telemetry: Telemetry | None = None
) -> int:
    out, err = Console(), Console(stderr=True, soft_wrap=True)
    if not out.is_terminal:
        out.width = max(out.width, WIDTH)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        disable=not err.is_terminal,
        transient=True,
    ) as progress:
        summary, shown, tally = await run(path, store, views, limit, progress, telemetry=telemetry)
    _report(summary, tally, err)
    if json:
        out.file.write(msgspec.json.encode(summary).decode() + "\n")
    else:
        _show(summary, shown, out)
    out.file.flush()
    return 0 if summary.nothing_lost else 1


async def run(
    path: Path,
    store: str,
    views: str,
    limit: int | None,
    progress: Progress,
    *,
    telemetry: Telemetry | None = None,
) -> tuple[Summary, Shown, Tally]:
    """Reads, plays, asks the read models, closes the bus and audits the stores.

    Raises `Refused` for an input that cannot be used, `Unusable` for stores that cannot.
    """
    event_store, view_store = stores.event_store(store), stores.view_store(views)
    started = time.perf_counter()
    task = progress.add_task("reading", total=None)
    try:
        records = read_flights(path, limit=limit)
    except InputError as error:
        raise Refused(str(error)) from error
    played = list(commands(records.flights))
    tally = Tally()
    async with Bus(TRAFFIC, event_store=event_store, view_store=view_store, telemetry=telemetry) as bus:
        before = bus.statistics().position
        progress.update(task, description="playing", total=len(played), completed=0)
        position = await tally.play(bus, played, lambda count: progress.advance(task, count))
        await caught_up(bus, position)
        seconds = time.perf_counter() - started
        shown = await ask(bus, records, position)
    progress.update(task, description="checking", total=None)
    found = await audit(TRAFFIC, event_store, view_store)
    summary = summarise(
        path=path,
        records=records,
        tally=tally,
        shown=shown,
        found=found,
        before=before,
        seconds=seconds,
        store=store,
        views=views,
    )
    return summary, shown, tally


async def caught_up(bus: Bus, position: int) -> None:
    """Waits for the read models as long as they move; a million events may take longer than one wait of the bus.

    Raises `ProjectionTimeout` for one that does not move, and `ProjectionStopped`.
    """
    seen: tuple[str, int] | None = None
    while True:
        try:
            return await bus.wait_projected(position)
        except ProjectionTimeout as late:
            if seen == (late.projection, late.at):
                raise
            seen = (late.projection, late.at)


async def ask(bus: Bus, records: FlightRecords, position: int) -> Shown:
    """What the read models say of the busiest airports and routes, all carriers, and the busiest aircraft."""
    busiest = Counter(flight.origin for flight in records.flights).most_common(3)
    boards = {
        str(airport): await bus.query(
            GetDepartures(airport=Airport(airport), limit=BOARD_LINES, latest=True), after=position
        )
        for airport, _ in sorted(busiest)
    }
    days = Counter(
        (flight.aircraft, day_of(flight.departs_at)) for flight in records.flights if flight.aircraft is not None
    )
    day = None
    for (aircraft, date), _ in days.most_common(1):
        day = await bus.query(GetAircraftDay(aircraft=aircraft, day=date), after=position)
    routes = await bus.query(GetPunctuality(by=Scope.ROUTE), after=position)
    counts = await bus.query(CountByStatus(), after=position)
    return Shown(
        boards=boards,
        carriers=await bus.query(GetPunctuality(by=Scope.CARRIER), after=position),
        routes=sorted(routes, key=lambda line: (-line.flights, line.name))[:ROUTES_SHOWN],
        day=day,
        by_status={count.status.value: count.flights for count in counts if count.flights},
    )


def summarise(
    *,
    path: Path,
    records: FlightRecords,
    tally: Tally,
    shown: Shown,
    found: Audit,
    before: int,
    seconds: float,
    store: str,
    views: str,
) -> Summary:
    """Nothing is lost if every event that was answered for is in the store, and the views are what the events say."""
    events = sum(tally.by_event.values())
    return Summary(
        input=str(path),
        flights=len(records.flights),
        commands=tally.commands,
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
        store=store,
        views=views,
        event_store_events_before=before,
        event_store_events=found.events,
        views_compared=found.views,
        views_match=found.views_match,
        projection_lag_events=found.lag_events,
        faults=list(found.faults),
        nothing_lost=not found.faults and not found.lag_events and found.events == before + events,
        trace_id=tally.trace_id,
    )


def _report(summary: Summary, tally: Tally, err: Console) -> None:
    """What went wrong with single rows and commands, on standard error."""
    lines = [f"{summary.input}:{row.line}: left out: {row.reason}" for row in summary.unusable]
    if summary.rows_unusable > len(lines):
        lines.append(f"{summary.input}: and {summary.rows_unusable - len(lines):,} more rows left out")
    lines += [f"rejected: {rejection}" for rejection in tally.rejections]
    if summary.rejected > len(tally.rejections):
        lines.append(f"and {summary.rejected - len(tally.rejections):,} more rejected")
    lines += [f"fault: {fault}" for fault in summary.faults]
    for line in lines:
        err.print(line, markup=False, highlight=False)


def _show(summary: Summary, shown: Shown, out: Console) -> None:
    for airport, board in shown.boards.items():
        out.print(tables.board(airport, board, zone(airport)))
    out.print(tables.punctuality("Punctuality by carrier", shown.carriers, carrier_names()))
    out.print(tables.punctuality("Punctuality of the busiest routes", shown.routes))
    if shown.day is not None and shown.day.legs:
        out.print(tables.aircraft_day(shown.day, zone(shown.day.legs[0].origin)))
    for line in sentences(summary):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
