"""Projections on the command line: how far they are, and their views built anew, beside the bus that runs them."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import anyio
import cyclopts
import msgspec
from rich.console import Console
from rich.live import Live

from adapters.cli import following, stores
from adapters.cli.asking import ask, desk_url, request_of, unknown
from adapters.cli.builds import Looking, Row, is_stopped
from adapters.cli.failures import Refused
from adapters.cli.lag_table import lag_table, utc_now
from bus.core.builds import Build, answering, to_drop
from bus.core.letters import Action

if TYPE_CHECKING:
    from adapters.cli.stores import ViewDesk, ViewStore

INTERVAL_S: Final = 1.0

app = cyclopts.App(
    name="projections", help="See how far behind every view is, and let views be built anew, switched to, or dropped."
)


@app.command
def status(
    name: str | None = None,
    /,
    *,
    store: str | None = None,
    views: str | None = None,
    json: bool = False,
    once: bool = False,
    interval: float | None = None,
) -> int:
    """Tell how far behind each projection is, in events and in seconds, and what is being built.

    Read from the stores, which a bus may have in use, or none. On a terminal it is a table that follows what happens,
    until Ctrl-C; elsewhere one JSON object a line, once, or at each --interval. The exit code is 1 where something
    that answers, or is being built, has stopped; whatever is only behind is 0.

    Parameters
    ----------
    name
        Only this projection.
    store
        The event store, beside which the views are unless --views says otherwise. Without it nobody knows how much is
        missing.
    views
        The view store, such as sqlite:///flights-views.db.
    json
        Write JSON on a terminal too.
    once
        Look once.
    interval
        How many seconds to wait between two looks; 1 on a terminal.
    """
    as_json = json or not sys.stdout.isatty()
    if interval is not None and not 0 < interval < float("inf"):
        raise Refused(f"--interval takes a number of seconds above zero, not {interval}")
    if as_json and interval is None:
        once = True
    interval_s = None if once else interval or INTERVAL_S
    url, rows = desk_url(store, views), list[Row]()

    async def look() -> None:
        async with _opened(url, store, read_only=True) as looking:
            await _status(looking, name, interval_s, as_json, rows)

    # That is how people end it.
    with suppress(KeyboardInterrupt):
        anyio.run(look)
    return 1 if any(is_stopped(row) for row in rows) else 0


@app.command
def rebuild(
    name: str,
    /,
    *,
    store: str | None = None,
    views: str | None = None,
    wait_s: float = 30.0,
    follow: bool = False,
) -> int:
    """Let the bus that runs a projection build its views anew, beside those that answer.

    The new ones answer by themselves once they have caught up; until then those before them do. The exit code is 1
    where that cannot be done, or nobody has begun in time; then whoever runs the projection next does.

    Parameters
    ----------
    name
        The projection.
    store
        The event store, beside which the views are unless --views says otherwise.
    views
        The view store.
    wait_s
        How many seconds to wait until it is begun.
    follow
        Show how it goes until they answer. Ctrl-C ends the showing alone.
    """
    try:
        return anyio.run(_rebuild, desk_url(store, views), store, name, wait_s, follow)
    except KeyboardInterrupt:
        print(f"{name}: the building goes on; projections status tells how far it is")
        return 0


@app.command
def switch(name: str, /, *, store: str | None = None, views: str | None = None, wait_s: float = 30.0) -> int:
    """Let other views of a projection answer: those being built, if they have caught up, or those replaced last.

    The exit code is 1 where there are none, or they have not caught up, or nobody has carried it out in time.

    Parameters
    ----------
    name
        The projection.
    store
        The event store, beside which the views are unless --views says otherwise.
    views
        The view store.
    wait_s
        How many seconds to wait for the outcome.
    """
    return anyio.run(_act, desk_url(store, views), name, "switch", None, wait_s)


@app.command
def drop(
    name: str,
    /,
    *,
    version: int | None = None,
    build: int | None = None,
    store: str | None = None,
    views: str | None = None,
    wait_s: float = 30.0,
) -> int:
    """Remove views of a projection that do not answer: those being built, or else those replaced last.

    The exit code is 1 where there are none but what answers, or nobody has carried it out in time.

    Parameters
    ----------
    name
        The projection.
    version
        Only what there is of this version, which need not be one that the running release knows.
    build
        Of that version, only this build.
    store
        The event store, beside which the views are unless --views says otherwise.
    views
        The view store.
    wait_s
        How many seconds to wait for the outcome.
    """
    if version is None and build is not None:
        raise Refused("--build needs the --version that it belongs to")
    named = None if version is None else (version, build)
    return anyio.run(_act, desk_url(store, views), name, "drop", named, wait_s)


@asynccontextmanager
async def _opened(url: str, store: str | None, *, read_only: bool = False) -> AsyncGenerator[Looking]:
    async with stores.view_desk(url, read_only=read_only) as desk:
        if store is None:
            yield Looking(desk, None)
        else:
            async with stores.event_store(store, read_only=True) as events:
                yield Looking(desk, events)


async def _status(looking: Looking, name: str | None, interval_s: float | None, as_json: bool, rows: list[Row]) -> None:
    """Leaves what it saw last in `rows`."""
    if name is not None and not await looking.look(name):
        raise unknown(looking.desk, name, [one.table.projection for one in await looking.desk.builds()])
    if as_json:
        await _print(looking, name, interval_s, rows)
    else:
        await show(looking, name, interval_s, rows, Console())


async def _print(looking: Looking, name: str | None, interval_s: float | None, rows: list[Row]) -> None:
    while True:
        rows[:] = await looking.look(name)
        for row in rows:
            print(msgspec.json.encode(row).decode(), flush=True)
        if interval_s is None:
            return
        await anyio.sleep(interval_s)


async def show(looking: Looking, name: str | None, interval_s: float | None, rows: list[Row], console: Console) -> None:
    """A table that is drawn anew after each look, until it is cancelled; once without an interval."""
    if interval_s is None:
        rows[:] = await looking.look(name)
        console.print(lag_table(rows, utc_now()))
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            rows[:] = await looking.look(name)
            live.update(lag_table(rows, utc_now()), refresh=True)
            await anyio.sleep(interval_s)


async def _rebuild(url: str, store: str | None, name: str, wait_s: float, is_followed: bool) -> int:
    async with _opened(url, store) as looking:
        code = await _asked(looking.desk, name, "rebuild", None, wait_s)
        # Where something is being built already, that is followed.
        return await following.follow(looking, name, code) if is_followed else code


async def _act(url: str, name: str, action: Action, named: tuple[int, int | None] | None, wait_s: float) -> int:
    async with stores.view_desk(url) as desk:
        return await _asked(desk, name, action, named, wait_s)


async def _asked(
    desk: "ViewDesk | ViewStore", name: str, action: Action, named: tuple[int, int | None] | None, wait_s: float
) -> int:
    builds = await desk.builds()
    own = [one for one in builds if one.table.projection == name]
    if not own:
        raise unknown(desk, name, [one.table.projection for one in builds])
    if named is not None and not any(_is_meant(one, *named) for one in own):
        there = ", ".join([one.table.title for one in own])
        raise Refused(f"{desk.url} has no such views of projection {name!r}: there are {there}")
    if action == "drop" and named is None:
        named = to_drop(own)
    # Whoever runs what answers carries it out; where nothing does, whoever builds.
    table = (answering(own) or own[-1]).table
    return await ask(desk, request_of(table, action, to_drop=named), wait_s)


def _is_meant(one: Build, version: int, build: int | None) -> bool:
    return one.table.version == version and build in (None, one.table.build)
