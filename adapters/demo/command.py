"""Command: `doubledecker demo`, its options and all that it says."""

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import anyio
import msgspec
from cyclopts import Parameter, validators
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from adapters.cli import stores, tables
from adapters.cli.failures import Refused
from adapters.demo.asking import Shown
from adapters.demo.live import can_move
from adapters.demo.playing import Tally
from adapters.demo.poison import chapters
from adapters.demo.running import Ran, Wanted, run
from adapters.demo.summary import Summary, sentences
from adapters.flights import carrier_names
from adapters.flights.zones import DATA, zone
from bus.ports import Telemetry

WEEK: Final = DATA / "flights-2013-01-01_07.csv.gz"
SAMPLED: Final = 0.01
"""Share of the commands that are traced where that is asked for."""
SPEED_MAX: Final = 1e9
"""A year in a thirtieth of a second."""
WIDTH: Final = 100
"""Columns of a file or pipe, so that tables are written whole."""


def demo(
    *,
    input: Annotated[Path, Parameter(show_default=False)] = WEEK,
    store: str | None = None,
    views: str | None = None,
    limit: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None,
    watch: str | None = None,
    speed: Annotated[float | None, Parameter(validator=validators.Number(gt=0, lte=SPEED_MAX))] = None,
    poison: Annotated[bool, Parameter(negative="")] = False,
    keep: Annotated[bool, Parameter(negative="")] = False,
    otlp: str | None = None,
    json: bool = False,
) -> int:
    """Play flight records through the bus and show what the read models make of them.

    Ctrl-C or SIGTERM end the playing; what was played until then is shown and proved.

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
    watch
        Show the departure board of this airport, such as EWR, while the flights are played.
    speed
        Play so many times faster than it happened, such as 3600 for an hour a second; by default as fast as it goes.
    poison
        Let one flight be such that the departure boards cannot process it: it is parked, and retried when all others
        are played.
    keep
        Leave the poisoned flight parked, to be looked at and retried with `doubledecker dead-letters`.
    otlp
        Send traces to this server, such as http://localhost:4318: of one command in a hundred, or as the environment's
        OTEL_TRACES_SAMPLER says.
    json
        Write the summary as one JSON object, and nothing else, to standard output.
    """
    if watch is not None and json:
        raise Refused("--watch writes a board to standard output, and --json nothing but JSON: choose one of them")
    if keep and not poison:
        raise Refused("--keep leaves what --poison has parked: it needs --poison")
    if keep and store == "memory:":
        raise Refused("memory: is forgotten at the end: to --keep what is parked name another --store")
    if store is None:
        store = f"sqlite:///{_new_folder()}/flights.db"
    wanted = Wanted(
        path=input,
        store=store,
        views=views or stores.views_beside(store),
        limit=limit,
        watch=watch,
        speed=speed,
        poison=poison,
        keep=keep,
    )
    with ExitStack() as stack:
        telemetry = None if otlp is None else _sending(otlp, stack)
        return anyio.run(partial(_demo, wanted, json, telemetry=telemetry))


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


async def _demo(wanted: Wanted, json: bool, *, telemetry: Telemetry | None = None) -> int:
    out, err = Console(), Console(stderr=True, soft_wrap=True)
    if not out.is_terminal:
        out.width = max(out.width, WIDTH)
    is_board_live = wanted.watch is not None and can_move(out)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        # A terminal shows one thing that moves at a time.
        disable=not err.is_terminal or is_board_live,
        transient=True,
    ) as progress:
        ran = await run(wanted, out, progress, telemetry=telemetry)
    _report(ran.summary, ran.tally, err)
    if json:
        out.file.write(msgspec.json.encode(ran.summary).decode() + "\n")
    else:
        _show(ran, out)
    out.file.flush()
    return 0 if ran.summary.nothing_lost else 1


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


def _show(ran: Ran, out: Console) -> None:
    _show_tables(ran.shown, out)
    if ran.story is not None:
        for part in chapters(ran.story, ran.summary.store, ran.summary.views):
            out.print(part, markup=False, highlight=False, soft_wrap=isinstance(part, str))
        out.print()
    for line in sentences(ran.summary):
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def _show_tables(shown: Shown, out: Console) -> None:
    for airport, board in shown.boards.items():
        out.print(tables.board(airport, board, zone(airport)))
    out.print(tables.punctuality("Punctuality by carrier", shown.carriers, carrier_names()))
    out.print(tables.punctuality("Punctuality of the busiest routes", shown.routes))
    if shown.day is not None and shown.day.legs:
        out.print(tables.aircraft_day(shown.day, zone(shown.day.legs[0].origin)))
