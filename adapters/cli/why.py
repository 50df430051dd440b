"""Why: tells what led to a command, an event or a conversation, what came of it, and which views show it."""

import sys
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, redirect_stdout, suppress
from typing import TYPE_CHECKING, Final

import anyio
import msgspec
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from adapters.cli import stores
from adapters.cli.applications import DEMO, load_application
from adapters.cli.causes import Cause, Happened, Letters, Looking, Touched
from adapters.cli.failures import Failure, Refused
from bus import Application, DeadLetter, StoreNotReadable
from bus.core.stored import ViewTable

if TYPE_CHECKING:
    from adapters.cli.stores import ViewDesk

LETTERS_PER_PAGE: Final = 1_000


class Answer(msgspec.Struct, frozen=True):
    """What was found, as JSON has it."""

    id: str
    causes: list[Cause]
    """Trees, oldest first."""


def why(
    id: str,
    /,
    *,
    store: str,
    views: str | None = None,
    app: str = DEMO,
    jaeger: str | None = None,
    json: bool = False,
) -> None:
    """Tell what led to something that was recorded, and what came of it.

    Everything is read from the stores, which may be in use meanwhile: the commands with their events, versions,
    positions and times, what caused them and what they caused, the views that show them, and their trace ids. On a
    terminal it is a tree, elsewhere JSON.

    Parameters
    ----------
    id
        A command id, a correlation id, the id of a dead letter as `dead-letters list` has it, the position of an event,
        or its place in its stream: flight-UA-1545...@3.
    store
        The event store, such as sqlite:///flights.db.
    views
        Where the read models are kept; by default beside the event store.
    app
        The application, as MODULE:NAME; modules of the current directory are found. By default the demo's.
    jaeger
        Jaeger's page, such as http://localhost:16686: traces are told as links to it.
    json
        Write JSON on a terminal too.
    """
    if store == "memory:":
        raise Refused("memory: holds nothing when the program starts; name a store that is kept")
    with redirect_stdout(sys.stderr):
        application = load_application(app)
    jaeger = None if jaeger is None else jaeger.rstrip("/")
    found = anyio.run(_look, id, store, views or stores.views_beside(store), application, jaeger)
    if not found:
        known = "no command, conversation, event or dead letter is called so"
        raise Failure(f"{store.partition('?')[0]} has nothing of {id!r}: {known}")
    if json or not sys.stdout.isatty():
        print(msgspec.json.encode(Answer(id, found)).decode())
        return
    out = Console(soft_wrap=True)
    for cause in found:
        out.print(tree(cause))


async def _look(id: str, store: str, views: str, application: Application, jaeger: str | None) -> list[Cause]:
    reached = await stores.reached(views)
    async with AsyncExitStack() as stack:
        opened = stores.event_store(store, read_only=True)
        await stack.enter_async_context(opened)
        letters: Letters | None = None
        if reached:
            with suppress(StoreNotReadable):
                # Of views that an older release keeps it can be said how far they are, and no more.
                desk = stores.view_desk(views, read_only=True)
                await stack.enter_async_context(desk)
                letters = Parked(desk, await stores.answering_tables(desk)).at
        return await Looking(opened, application, reached=reached, letters=letters, jaeger=jaeger).look(id)


class Parked:
    """Looks for the letters of single events; of a projection that has none it asks nobody."""

    def __init__(self, desk: "ViewDesk", tables: Iterable[ViewTable]) -> None:
        self._desk = desk
        self._tables = {(table.projection, table.version): table for table in tables}
        self._keys: dict[tuple[str, int], bool] = {}

    async def at(self, table: ViewTable, position: int) -> Sequence[DeadLetter]:
        """The letters of one event, by key."""
        name = table.projection, table.version
        if name not in self._tables:
            return ()
        kept = self._tables[name]
        if name not in self._keys:
            self._keys[name] = bool(await self._desk.parked(kept))
        found: list[DeadLetter] = []
        after = (position, "")
        while self._keys[name]:
            page = await self._desk.letters(kept, after=after, limit=LETTERS_PER_PAGE)
            found += [letter for letter in page if letter.position == position]
            if len(page) < LETTERS_PER_PAGE or page[-1].position != position:
                break
            after = (position, page[-1].key)
        return found


def tree(cause: Cause, below: Tree | None = None) -> Tree:
    """For people."""
    title = Text.assemble((cause.stream, "bold"), f"  {cause.recorded_at:%Y-%m-%d %H:%M:%S.%f} UTC")
    if cause.is_asked:
        title.append("  <- asked for", style="green")
    title.append(f"\ncommand {cause.command_id}")
    if cause.correlation_id != cause.command_id:
        title.append(f"  conversation {cause.correlation_id}")
    if cause.causation_id is not None:
        title.append(f"  caused by {cause.causation_id}")
    if cause.trace_id is not None:
        title.append(f"\ntrace {cause.trace_url or cause.trace_id}")
    branch = Tree(title) if below is None else below.add(title)
    for event in cause.events:
        branch.add(_line(event))
    for effect in cause.caused:
        tree(effect, branch)
    return branch


def _line(event: Happened) -> Text:
    line = Text(f"{event.name}  version {event.version}  position {event.position}")
    for view in event.views:
        style = "red" if view.parked else "yellow" if view.is_reached is False else ""
        line.append(f"\n  {_words(view)}", style=style)
    return line


def _words(view: Touched) -> str:
    where = view.projection if view.keys is None else f"{view.projection} [{', '.join(view.keys)}]"
    if view.parked:
        return f"{where}: parked as {', '.join(view.parked)}"
    return where + {None: "", True: ": shown", False: ": not yet"}[view.is_reached]
