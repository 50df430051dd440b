"""Steps: what a projector does one after the other, and how a process comes to its end exactly between two of them.

Everything is put around the product from outside: around the view store that a bus is given, and around functions of
the read side. To add a step is to add a `reached` where it is over, and its name to `STEPS`.
"""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, ParamSpec, TypeVar, cast

import anyio
import msgspec

from adapters.sqlite import SqliteViewStore
from bus.core.letters import Request
from bus.core.stored import Checkpoint, ViewChanges, ViewTable
from bus.ports import ViewStore
from bus.read.folding import Folding
from bus.read.projector import Projector
from bus.read.requests import Requests
from bus.read.subscription import Slice, Subscription

P = ParamSpec("P")
R = TypeVar("R")

STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "projecting": ("read", "loaded", "folded", "committing", "under way", "committed", "parking", "parked"),
    "retrying": ("found", "loaded", "folded", "committing", "under way", "committed", "answering", "answered"),
    "discarding": ("found", "committing", "under way", "committed", "answering", "answered"),
}
"""By what a projector is about, what it has just done, or is just about to do where it ends in -ing.

- `read`: it has a batch; `found`: it has letters; `loaded` and `folded`: what of it, in memory alone.
- `committing` and `committed`: nothing, and everything, of that is in the store; the projector does not know yet.
- `under way`: so many turns of the event loop after the commit was begun, in a database wherever it is by then.
- `parking` and `parked`: the same for a commit that has letters to keep.
- `answering` and `answered`: what was asked is carried out; whoever asked was not told, or the projector not yet.

On SQLite there is `statement` besides: before one of a commit, in the middle of its transaction.
"""

_projection: ContextVar[str | None] = ContextVar("projection", default=None)
"""Whose projector runs in this task."""
_doing: ContextVar[str] = ContextVar("doing", default="projecting")


class Fate(msgspec.Struct, frozen=True):
    """Where a process ends: at the `nth` time that it is there, by this signal."""

    doing: str
    step: str
    nth: int
    signal: int
    projection: str


class Steps:
    """Of one process, with its fate, if it has any."""

    def __init__(self, fate: Fate | None) -> None:
        self._fate = fate
        self._left = fate.nth if fate is not None else 0
        self.has_paused = False
        """Whether it was stopped, and goes on."""
        self.statements_of: str | None = None
        """What the commit is about whose statements are carried out now."""

    def reached(self, step: str, doing: str | None = None) -> None:
        """A step is over: perhaps the last one."""
        fate = self._fate
        if fate is None or fate.step != step or fate.doing != (doing or _doing.get()):
            return
        if doing is None and _projection.get() != fate.projection:
            return
        self._left -= 1
        if self._left == 0:
            self._end(fate)

    def begun(self) -> None:
        """A commit is under way: where that is its fate, the process ends some turns of the event loop later."""
        fate = self._fate
        if fate is None or _projection.get() != fate.projection:
            return
        self.statements_of = _doing.get()
        if (fate.doing, fate.step) == (self.statements_of, "under way") and self._left == fate.nth:
            self._turn(fate)

    def _turn(self, fate: Fate) -> None:
        self._left -= 1
        if self._left < 0:
            self._end(fate)
            return
        asyncio.get_running_loop().call_soon(self._turn, fate)

    def _end(self, fate: Fate) -> None:
        os.write(2, f"{fate.doing}: {fate.step}\n".encode())
        self.has_paused = True
        os.kill(os.getpid(), fate.signal)


class WatchedConnection:
    """Stands in for the connection of SQLite that writes views."""

    def __init__(self, connection: sqlite3.Connection, steps: Steps) -> None:
        self._connection = connection
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if (doing := self._steps.statements_of) is not None:
            self._steps.reached("statement", doing)
        return self._connection.execute(sql, *parameters)


class WatchedSqliteViewStore(SqliteViewStore):
    """A store whose commits may end at one of their statements."""

    steps: Steps

    async def __aenter__(self) -> "WatchedSqliteViewStore":
        await super().__aenter__()
        self._connection = cast(sqlite3.Connection, WatchedConnection(self._connection, self.steps))
        return self


def watch_store(store: ViewStore, steps: Steps) -> None:
    """Puts the steps around the store's methods that a projector calls."""
    commit, load, letters, answer = store.commit, store.load, store.letters, store.answer

    async def watched_commit(table: ViewTable, changes: ViewChanges) -> bool:
        if changes.parked and _doing.get() == "projecting":
            steps.reached("parking")
        steps.reached("committing")
        steps.begun()
        # A commit that is of no use any more is given up by a bus that knows it; here it is sent.
        with anyio.CancelScope(shield=steps.has_paused):
            written = await commit(table, changes)
        steps.statements_of = None
        if changes.parked and _doing.get() == "projecting":
            steps.reached("parked")
        steps.reached("committed")
        return written

    async def watched_answer(request: Request) -> None:
        steps.reached("answering")
        await answer(request)
        steps.reached("answered")

    for name, method in {
        "commit": watched_commit,
        "answer": watched_answer,
        "load": _then(load, lambda: steps.reached("loaded")),
        "letters": _then(letters, lambda: steps.reached("found")),
    }.items():
        setattr(store, name, method)


def watch_read_side(steps: Steps) -> None:
    """Puts the steps around functions of this process's read side."""
    run, step, fold, read = Projector.run, Requests.step, Folding.fold, Subscription.next

    async def named_run(self: Projector) -> None:
        _projection.set(self.projection.name)
        await run(self)

    async def named_step(self: Requests, checkpoint: Checkpoint, epoch: int) -> frozenset[str]:
        token = _doing.set("retrying" if self._open[0].action == "retry" else "discarding")
        try:
            return await step(self, checkpoint, epoch)
        finally:
            _doing.reset(token)

    async def watched_read(self: Subscription, until: int | None = None) -> Slice | None:
        found = await read(self, until)
        if found is not None:
            steps.reached("read")
        return found

    def watched_fold(self: Folding, touches: Sequence[Any]) -> Any:
        folded = fold(self, touches)
        steps.reached("folded")
        return folded

    for owner, name, function in (
        (Projector, "run", named_run),
        (Requests, "step", named_step),
        (Subscription, "next", watched_read),
        (Folding, "fold", watched_fold),
    ):
        setattr(owner, name, function)


def _then(call: Callable[P, Awaitable[R]], over: Callable[[], None]) -> Callable[P, Awaitable[R]]:
    async def run(*arguments: P.args, **named: P.kwargs) -> R:
        result = await call(*arguments, **named)
        over()
        return result

    return run
