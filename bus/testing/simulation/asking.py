"""Asking: what a query may be answered with: what it is answered on views that were committed while it waited."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import msgspec

from bus.core.application import Application
from bus.core.builds import ANSWERING, BUILDING
from bus.core.errors import ViewsDropped
from bus.core.letters import After
from bus.core.limits import Limits
from bus.core.messages import Query
from bus.core.stored import ViewTable, table_of
from bus.memory import MemoryViewStore
from bus.read.lineage import Source
from bus.read.queries import SnapshotViews
from bus.testing.simulation.model import Violated

_POSITION_MAX = 2**63 - 1

T = TypeVar("T")

Tables = Mapping[str, ViewTable]
"""By projection, the table that its answers are read from."""


class Candidate(msgspec.Struct, frozen=True):
    """The answer on one committed state of the views."""

    value: Any
    position: int
    """How far the views have come that it was read from, the one that is furthest behind."""
    parked: frozenset[int]
    """Positions of the events that were parked then in one of their projections."""


class Asked:
    """One question, or one reader of a watch, until its last answer.

    An answer that is given is one that the handler gives on a state of the views which was the committed one at some
    moment since the question, or since the answer before. Of the builds of a projection it is read from the one that
    its process answers from at that moment, in that build's own version; and that is none which is still being built,
    where another one answers. Where the handler waits for anything but views, or fails, nobody knows.
    """

    def __init__(
        self,
        application: Application,
        query: Query[Any],
        life: int,
        limits: Limits,
        tables: Callable[[], Tables] | None = None,
    ) -> None:
        """`tables` says from which ones that life answers at the moment; without it, from those of the application."""
        self.query = query
        self.life = life
        self._application = application
        self._handler = application.handler_of[type(query)]
        self._limits = limits
        self._versions = {
            (one.name, one.version): one for last in application.view_projections for one in last.versions
        }
        declared = {one.name: table_of(one) for one in application.view_projections}
        self._tables: Callable[[], Tables] = tables or (lambda: declared)
        self._candidates: list[Candidate] = []
        self._is_known = True
        self._views: MemoryViewStore | None = None
        self._looked_at: Tables = {}
        """From which tables it was, or would have been, answered when it was looked at last."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is answered from other tables than when it was looked at last."""
        return self._tables() != self._looked_at

    async def look(self, views: MemoryViewStore) -> None:
        """Notes the answer on what is committed now."""
        self._views, self._looked_at = views, self._tables()
        tables = self._looked_at
        if await _is_unfinished(views, tables):
            # Nobody is to be answered from there yet.
            return
        sources = {
            name: Source(self._versions[name, table.version], table, 0, is_built=True) for name, table in tables.items()
        }
        async with views.snapshot() as reader:
            given = SnapshotViews(
                self._application,
                reader,
                decoders={view: msgspec.json.Decoder(view).decode for view in self._application.projection_of},
                sources=sources,
                after=After(0, 1),
                may_park=frozenset(),
                limits=self._limits,
            )
            try:
                value = await self._handler(self.query, given)
            except ViewsDropped:
                # Its process is yet to find that out, and to answer from others.
                return
            except Exception:
                self._is_known = False
                return
            read = [table for name, table in tables.items() if name in given.keys]
            positions = [(await reader.checkpoint(table)).position for table in read]
            letters = [one for table in read for one in await reader.letters(table, 0, _POSITION_MAX)]
        parked = frozenset([letter.position for letter in letters])
        self._candidates.append(Candidate(value, min(positions, default=_POSITION_MAX), parked))

    def unknown(self) -> None:
        """Its handler cannot be run beside the history."""
        self._is_known = False

    def check(self, value: Any, position: int, own: range = range(0)) -> None:
        """Raises `Violated` unless that may be the answer, from views at `position` that have none of `own` parked."""
        if self._views is not None and self.is_elsewhere:
            _look(self, self._views)
        if not self._is_known:
            return
        for index, one in enumerate(self._candidates):
            if one.value == value and one.position >= position and one.parked.isdisjoint(own):
                # What is given later is no older.
                del self._candidates[:index]
                return
        states = "; ".join([f"at {one.position} {one.value!r}" for one in self._candidates[-5:]])
        raise Violated(
            f"{self.query!r}, to be answered at position {position} or later, was answered with {value!r}, which it is "
            f"on no state of the views since it was asked or answered before: {states}"
        )


class Questions:
    """Those whose answers are held against the views that are committed meanwhile."""

    def __init__(self, application: Application, limits: Limits) -> None:
        self._application = application
        self._limits = limits
        self._asked: dict[Asked, None] = {}

    def ask(
        self, query: Query[Any], life: int, views: MemoryViewStore, tables: Callable[[], Tables] | None = None
    ) -> Asked:
        """A question to a life, which answers from these `tables`, until `answered`."""
        asked = Asked(self._application, query, life, self._limits, tables)
        self._asked[asked] = None
        _look(asked, views)
        return asked

    def answered(self, asked: Asked) -> None:
        """That question has its last answer, or will have none."""
        self._asked.pop(asked, None)

    def forget(self, life: int) -> None:
        """That life is over, and answers nobody."""
        self._asked = {asked: None for asked in self._asked if asked.life != life}

    def look(self, views: MemoryViewStore) -> None:
        """These views were committed."""
        for asked in self._asked:
            _look(asked, views)

    def moved(self, life: int, views: MemoryViewStore) -> None:
        """That life may answer from other tables than before."""
        for asked in self._asked:
            if asked.life == life and asked.is_elsewhere:
                _look(asked, views)


def _look(asked: Asked, views: MemoryViewStore) -> None:
    try:
        at_once(asked.look(views))
    except AssertionError:
        asked.unknown()


async def _is_unfinished(views: MemoryViewStore, tables: Tables) -> bool:
    """Whether one of these tables is being built, while another one answers."""
    builds = await views.builds()
    answered = {one.table.projection for one in builds if one.state == ANSWERING}
    places = {table.place for table in tables.values()}
    return any(
        one.state == BUILDING and one.table.place in places and one.table.projection in answered for one in builds
    )


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the stores in memory wait for nothing")


def spoil(value: Any) -> None:
    """Whoever has an answer may do with it what they like."""
    if isinstance(value, list | dict | set):
        value.clear()
