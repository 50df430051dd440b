"""Asking: what a query may be answered with: what it is answered on views that were committed while it waited."""

from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec

from bus.core.application import Application
from bus.core.letters import After
from bus.core.limits import Limits
from bus.core.messages import Query
from bus.core.stored import table_of
from bus.memory import MemoryViewStore
from bus.read.lineage import Source
from bus.read.queries import SnapshotViews
from bus.testing.simulation.model import Violated

_POSITION_MAX = 2**63 - 1

T = TypeVar("T")


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
    moment since the question, or since the answer before. Where the handler waits for anything but views, or fails,
    nobody knows.
    """

    def __init__(self, application: Application, query: Query[Any], life: int, limits: Limits) -> None:
        self.query = query
        self.life = life
        self._application = application
        self._handler = application.handler_of[type(query)]
        self._limits = limits
        self._candidates: list[Candidate] = []
        self._is_known = True

    async def look(self, views: MemoryViewStore) -> None:
        """Notes the answer on what is committed now."""
        sources = {one.name: Source(one, table_of(one), 0, is_built=True) for one in self._application.projections}
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
            except Exception:
                self._is_known = False
                return
            tables = [table_of(one) for one in self._application.projections if one.name in given.keys]
            positions = [(await reader.checkpoint(table)).position for table in tables]
            letters = [one for table in tables for one in await reader.letters(table, 0, _POSITION_MAX)]
        parked = frozenset([letter.position for letter in letters])
        self._candidates.append(Candidate(value, min(positions, default=_POSITION_MAX), parked))

    def unknown(self) -> None:
        """Its handler cannot be run beside the history."""
        self._is_known = False

    def check(self, value: Any, position: int, own: range = range(0)) -> None:
        """Raises `Violated` unless that may be the answer, from views at `position` that have none of `own` parked."""
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
    """Those whose answers are held against the views that are committed meanwhile.

    Where views are rebuilt, who has not yet heard of a switch answers from others than it says: of their answers no
    more is asked than that their positions never go back.
    """

    def __init__(self, application: Application, limits: Limits, *, are_known: bool) -> None:
        self._application = application
        self._limits = limits
        self._are_known = are_known
        self._asked: dict[Asked, None] = {}

    def ask(self, query: Query[Any], life: int, views: MemoryViewStore) -> Asked:
        """A question to a life, until `answered`."""
        asked = Asked(self._application, query, life, self._limits)
        if not self._are_known:
            asked.unknown()
            return asked
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


def _look(asked: Asked, views: MemoryViewStore) -> None:
    try:
        at_once(asked.look(views))
    except AssertionError:
        asked.unknown()


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
