"""Answers: of equal queries one is answered for all, and an answer is given again for as long as it is true."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import anyio
import msgspec

from bus.core.errors import BusError, QueryFailed, ViewsDropped
from bus.core.letters import After
from bus.core.messages import Query
from bus.core.statistics import CacheStatistics
from bus.core.stored import ViewTable
from bus.ports import ViewReader
from bus.read.copying import Copier, copier
from bus.read.keeping import Answered, Flight, Keeping, Mark, Question, concerns, mark_of
from bus.read.lineage import Source
from bus.read.progress import Keys, Progress
from bus.read.queries import Queries, StartAgain, check_parked, failed
from bus.read.services import Services

R = TypeVar("R")

_NOTHING = After(0, 1)
"""For who waits for nothing."""


class Answers:
    """What an answer is never older than is the moment of its question.

    Where the view store is this bus's alone, a kept answer is true until a commit *begins* that may change a view that
    it was read from: from then on somebody may have seen the change. Where others write too, it is true if the
    tables that it was read from have the same marks in a snapshot that is taken after the question.
    """

    def __init__(self, services: Services, queries: Queries, progress: Mapping[str, Progress]) -> None:
        application, limits = services.application, services.limits
        self._answers_max = application.answers_max
        self._queries = queries
        self._view_store = services.view_store
        self._progress = progress
        self._new_reply = services.new_reply
        self._limits = limits
        self._keeping = Keeping(limits)
        self._flights: dict[Flight, None] = {}
        self._hits = dict.fromkeys(application.answers_max, 0)
        self._misses = dict.fromkeys(application.answers_max, 0)
        for one in progress.values():
            one.doubt(self._note)
            one.listen(self._note)

    async def ask(self, query: Query[R], after: After, timeout: float | None) -> R:
        """The answer; raises a subclass of `QueryError` or `NotProjected`."""
        kind = type(query)
        if kind not in self._answers_max:
            return await self._queries.ask(query, after, timeout)
        deadline = self._queries.deadline(timeout)
        with self._queries.telling(query):
            question = self.open(query)
            try:
                answered, is_run = await self._ask(question, after, deadline)
            finally:
                self.close(question)
            counts = self._misses if is_run else self._hits
            counts[kind] += 1
            value: R = given(answered)
            return value

    def open(self, query: Query[Any]) -> Question:
        """The question of this query and all equal ones, until `close`; raises `UnknownQuery` or `BusClosed`."""
        return self._keeping.open(query, self._queries.handler_of(query), self._answers_max.get(type(query), 0))

    def close(self, question: Question) -> None:
        """Whoever opened it has no more use for it."""
        self._keeping.close(question)

    def statistics(self) -> tuple[CacheStatistics, ...]:
        """Of all handlers that are `cached`."""
        return tuple(
            [
                CacheStatistics(
                    query=kind.__qualname__,
                    hits=self._hits[kind],
                    misses=self._misses[kind],
                    answers=self._keeping.count(kind),
                )
                for kind in self._answers_max
            ]
        )

    async def _ask(self, question: Question, after: After, deadline: float) -> tuple[Answered, bool]:
        """An answer from views that hold what is asked for, and whether the handler was run for it.

        Goes the way of a query that is not cached: waits for the first projection that its handler reads too early,
        and refuses what one that it reads has parked.
        """
        late: str | None = None
        looked: set[ViewTable] = set()
        is_run = False
        # At once where that can be, without what waiting takes.
        if (current := self.current(question)) is not None and self._judge(current, after, looked) == (None, []):
            return current, False
        for _ in range(self._limits.query_restarts_max + len(self._queries.may_park)):
            if late is not None:
                await self._progress[late].wait(after.position, deadline)
            answered: Answered | None = None
            unseen: list[ViewTable] = []
            with anyio.CancelScope(deadline=deadline) as scope:
                answered, is_run_now = await self.now(question)
                is_run = is_run or is_run_now
                late, unseen = self._judge(answered, after, looked)
                if unseen:
                    await self._look_through(unseen, after, looked)
            if answered is None or scope.cancelled_caught:
                raise self._queries.late(question.query)
            if late is None and not unseen:
                return answered, is_run
        raise self._queries.restless(question.query)

    async def _look_through(self, tables: Sequence[ViewTable], after: After, looked: set[ViewTable]) -> None:
        """Raises `Parked` where these have letters of what is waited for; notes those that have none."""
        try:
            # What is not parked now never will be, so that an answer from views read later holds it.
            async with self._view_store.snapshot() as reader:
                for table in tables:
                    await check_parked(reader, table, after)
        except ViewsDropped as dropped:
            # Another process has let other views answer since these were read.
            await self._queries.look_for(dropped)
        else:
            looked.update(tables)

    def _judge(self, answered: Answered, after: After, looked: set[ViewTable]) -> tuple[str | None, list[ViewTable]]:
        """The first projection that was read too early, and tables of those before it to look through for letters.

        Where another build answers by now, it may have parked what the one before it has not.
        """
        unseen: list[ViewTable] = []
        for name in answered.keys:
            if answered.positions[name] < after.position:
                return name, unseen
            if after.first <= after.position and name in self._queries.may_park:
                table = self._queries.table(name)
                if table not in looked:
                    unseen.append(table)
        return None, unseen

    def current(self, question: Question) -> Answered | None:
        """The kept answer, where it is known to be true at this moment."""
        kept = question.kept
        if kept is None or self._view_store.shared:
            return None
        self._keeping.use(question)
        return msgspec.structs.replace(kept, positions=_positions(self._queries.sources()))

    def may_change_unheard(self, answered: Answered) -> bool:
        """Whether another process may change what it was read from without anybody here hearing of it.

        A retry of dead letters leaves the checkpoint in its place, by which others are followed.
        """
        if not self._view_store.shared:
            return False
        return answered.marks is None or any(mark.letters for mark in answered.marks)

    async def now(self, question: Question) -> tuple[Answered, bool]:
        """An answer that was true at some moment since the call, and whether the handler was run for this caller.

        Who calls while the handler is run for an equal query is given that answer, unless a view may have changed since
        the run began: then there is another run, for all who came meanwhile.
        """
        begun = question.flights
        while True:
            if (current := self.current(question)) is not None:
                return current, False
            flight = question.flight
            if flight is None:
                return await self._fly(question)
            is_new = flight.number > begun or (flight.is_untouched and not self._view_store.shared)
            reply = self._new_reply()
            flight.waiting[reply] = None
            try:
                answered: Answered | None = await reply
            finally:
                flight.waiting.pop(reply, None)
            if is_new and answered is not None:
                return answered, False

    async def _fly(self, question: Question) -> tuple[Answered, bool]:
        question.flights += 1
        changing = {name: one.begun for name, one in self._progress.items() if one.begun != frozenset()}
        flight = question.flight = Flight(question.flights, changing, {})
        self._flights[flight] = None
        answered: Answered | None = None
        try:
            try:
                answered, is_run = await self._evaluate(question)
            except BusError as error:
                # That of a store concerns all who asked.
                answered, is_run = Answered({}, {}, failure=error.copy()), True
            if is_run:
                self._keep(question, flight, answered)
            return answered, is_run
        finally:
            # Where there is no answer, because nobody waits for it here any more, one of the others runs the handler.
            del self._flights[flight]
            question.flight = None
            for reply in flight.waiting:
                if not reply.is_done:
                    reply.set_result(answered)

    def _keep(self, question: Question, flight: Flight, answered: Answered) -> None:
        if answered.failure is not None:
            return
        if self._view_store.shared:
            is_true = answered.marks is not None
        else:
            is_true = not any(concerns(answered.keys, name, keys) for name, keys in flight.changed.items())
        if is_true:
            self._keeping.keep(question, answered)

    async def _evaluate(self, question: Question) -> tuple[Answered, bool]:
        """The answer on a snapshot, and whether the handler was run; not where the tables are as they were."""
        is_refreshed = False
        attempts = 0
        while attempts < self._limits.query_restarts_max:
            try:
                evaluated = await self._evaluate_once(question)
            except ViewsDropped as dropped:
                # Another process has let other views answer, and has dropped these. The others may have to come as far
                # first as what was answered from these.
                await self._queries.look_for(dropped)
                if is_refreshed:
                    await anyio.sleep(self._limits.poll_interval_s)
                is_refreshed = True
                continue
            attempts += 1
            if evaluated is not None:
                return evaluated
        raise self._queries.restless(question.query)

    async def _evaluate_once(self, question: Question) -> tuple[Answered, bool] | None:
        """None where other views have come to answer before the handler had read them all."""
        # Noted before the snapshot is taken: it holds at least this.
        sources = self._queries.sources()
        positions = _positions(sources)
        async with self._view_store.snapshot() as reader:
            kept = question.kept
            if kept is not None and kept.marks is not None and kept.marks == await _marks(reader, sources, kept.keys):
                self._keeping.use(question)
                return msgspec.structs.replace(kept, positions=positions), False
            views = self._queries.views(reader, sources, _NOTHING)
            value, copy, failure = None, None, None
            try:
                value = await question.handler(question.query, views)
                copy = self._copier(question.query, value)
            except ViewsDropped:
                raise
            except BusError as error:
                failure = error.copy()
            except (Exception, BaseExceptionGroup, StartAgain) as error:
                if views.outdated is None:
                    if not isinstance(error, Exception):
                        raise
                    failure = failed(question.query, error)
                    failure.__cause__ = error
            if views.outdated is not None:
                # What a handler makes of `StartAgain` is of no interest.
                return None
            # The tables of batch projections are read as a whole, as far as anybody here knows.
            read = {name: None if some is None else frozenset(some) for name, some in views.keys.items()}
            keys = {**dict.fromkeys(self._queries.batches_of(question.query)), **read}
            marks = await _marks(reader, sources, keys) if self._view_store.shared else None
            return Answered(keys, positions, value, copy, failure, marks), True

    def _copier(self, query: Query[Any], value: Any) -> Copier:
        try:
            return copier(value)
        except Exception as error:
            name = type(query).__qualname__
            raise QueryFailed(
                f"the answer to {name} cannot be copied for all who ask: {type(error).__name__}: {error}. Answer with "
                "views, or with lists and structs of what can be copied",
                query=name,
            ) from error

    def _note(self, projection: str, keys: Keys) -> None:
        for flight in self._flights:
            flight.note(projection, keys)
        self._keeping.note(projection, keys)


def given(answered: Answered) -> Any:
    """A copy of the answer for one who asked; raises a copy of what it failed with."""
    if answered.failure is not None:
        raise answered.failure.copy()
    assert answered.copy is not None, "what did not fail has a value"
    return answered.copy()


def _positions(sources: Mapping[str, Source]) -> dict[str, int]:
    return {name: source.position for name, source in sources.items()}


async def _marks(
    reader: ViewReader, sources: Mapping[str, Source], names: Mapping[str, object]
) -> tuple[Mark, ...] | None:
    found = [await mark_of(reader, sources[name].table) for name in names]
    whole = tuple([mark for mark in found if mark is not None])
    return whole if len(whole) == len(found) else None
