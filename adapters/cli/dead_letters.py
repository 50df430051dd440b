"""Dead letters on the command line: what projections have given up, beside the bus that runs them."""

import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import anyio
import cyclopts
import msgspec
from rich.console import Console

from adapters.cli import stores, tables
from adapters.cli.asking import ask, desk_url, request_of, unknown
from adapters.cli.failures import Failure, Refused
from bus import DeadLetter
from bus.core.letters import letter_place
from bus.core.stored import ViewTable

if TYPE_CHECKING:
    from adapters.cli.stores import ViewDesk

PAGE_LETTERS: Final = 1_000

app = cyclopts.App(
    name="dead-letters", help="Look at the events that projections have given up, and retry or discard them."
)


@app.command(name="list")
def list_letters(
    *,
    store: str | None = None,
    views: str | None = None,
    projection: str | None = None,
    key: str | None = None,
    json: bool = False,
) -> None:
    """List dead letters by projection and position; the bus may be at work meanwhile.

    Parameters
    ----------
    store
        The event store, beside which the views are unless --views says otherwise.
    views
        The view store, such as sqlite:///flights-views.db.
    projection
        Only this projection's.
    key
        Only this key's.
    json
        Write one JSON object a line; so it is as well where standard output is no terminal.
    """
    anyio.run(_list, desk_url(store, views), projection, key, json or not sys.stdout.isatty())


@app.command
def show(letter_id: str, *, store: str | None = None, views: str | None = None) -> None:
    """Show one dead letter as JSON; with --store, its event as it is stored too.

    Parameters
    ----------
    letter_id
        As the list has it: projection:version:position:key.
    store
        The event store.
    views
        The view store, by default the one beside the event store.
    """
    anyio.run(_show, desk_url(store, views), letter_id, store)


@app.command
def retry(
    *,
    store: str | None = None,
    views: str | None = None,
    projection: str | None = None,
    key: str | None = None,
    wait_s: float = 30.0,
) -> int:
    """Let the bus that runs the projection bring parked events into its views, in order.

    Asked is whoever runs the latest version of each projection. The exit code is 1 where some failed again, which
    leaves them parked, or where nobody carried it out in time; then whoever runs the projection next does.

    Parameters
    ----------
    store
        The event store, beside which the views are unless --views says otherwise.
    views
        The view store.
    projection
        Only this projection's; by default those of all that have any.
    key
        Only this key's.
    wait_s
        How many seconds to wait for the outcome.
    """
    return anyio.run(_retry, desk_url(store, views), projection, key, wait_s)


@app.command
def discard(
    letter_id: str, *, reason: str, store: str | None = None, views: str | None = None, wait_s: float = 30.0
) -> int:
    """Give one event up for good: its view never sees it. The later ones of its key stay parked until they are retried.

    Parameters
    ----------
    letter_id
        As the list has it: projection:version:position:key.
    reason
        Why; it is kept with the request.
    store
        The event store, beside which the views are unless --views says otherwise.
    views
        The view store.
    wait_s
        How many seconds to wait for the outcome.
    """
    return anyio.run(_discard, desk_url(store, views), letter_id, reason, wait_s)


async def _list(url: str, projection: str | None, key: str | None, as_json: bool) -> None:
    listed: list[DeadLetter] = []
    async with stores.view_desk(url, read_only=True) as desk:
        for kept in await _tables(desk, projection):
            async for letter in _letters(desk, kept, key):
                if as_json:
                    print(_written(letter))
                else:
                    listed.append(letter)
    if not as_json:
        Console().print(tables.dead_letters(listed) if listed else "no dead letters")


async def _show(url: str, letter_id: str, store: str | None) -> None:
    projection, version, position, key = _place(letter_id)
    async with stores.view_desk(url, read_only=True) as desk:
        named = [
            one for one in await stores.answering_tables(desk) if (one.projection, one.version) == (projection, version)
        ]
        page = [letter for one in named for letter in await desk.letters(one, key, after=(position - 1, key), limit=1)]
    if not page or page[0].position != position:
        raise Failure(f"there is no dead letter {letter_id!r}; it was retried or discarded, or never there")
    shown: dict[str, Any] = msgspec.to_builtins(page[0])
    if store is not None:
        async with stores.event_store(store, read_only=True) as events:
            stored = await events.page(position - 1, 1)
        shown["event"] = msgspec.Raw(stored[0].payload) if stored else None
    print(msgspec.json.format(msgspec.json.encode({"id": page[0].id, **shown}), indent=2).decode())


async def _retry(url: str, projection: str | None, key: str | None, wait_s: float) -> int:
    async with stores.view_desk(url) as desk:
        # Of a projection's versions somebody runs the latest.
        latest = {table.projection: table for table in await _tables(desk, projection)}
        tables = latest.values()
        waiting = [table for table in tables if (parked := await desk.parked(table)) and key in (None, *parked)]
        if not waiting:
            print("nothing is parked" if key is None else f"key {key!r} is not parked")
        codes = [await ask(desk, request_of(table, "retry", key=key), wait_s) for table in waiting]
    return max(codes, default=0)


async def _discard(url: str, letter_id: str, reason: str, wait_s: float) -> int:
    projection, version, position, key = _place(letter_id)
    async with stores.view_desk(url) as desk:
        table = ViewTable(projection, version)
        request = request_of(table, "discard", key=key, position=position, reason=reason)
        return await ask(desk, request, wait_s)


async def _letters(desk: "ViewDesk", table: ViewTable, key: str | None) -> AsyncIterator[DeadLetter]:
    after = (0, "")
    while page := await desk.letters(table, key, after=after, limit=PAGE_LETTERS):
        for letter in page:
            yield letter
            after = letter.position, letter.key


async def _tables(desk: "ViewDesk", projection: str | None) -> list[ViewTable]:
    tables = await stores.answering_tables(desk)
    if projection is not None and projection not in {table.projection for table in tables}:
        raise unknown(desk, projection, [table.projection for table in tables])
    return [table for table in tables if projection in (None, table.projection)]


def _place(letter_id: str) -> tuple[str, int, int, str]:
    try:
        return letter_place(letter_id)
    except ValueError as error:
        raise Refused(str(error)) from error


def _written(letter: DeadLetter) -> str:
    return msgspec.json.encode({"id": letter.id, **msgspec.to_builtins(letter)}).decode()
