"""Queries: runs query handlers on one snapshot of the views, if asked not before a given position."""

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio
import msgspec

from bus.core.application import Application
from bus.core.batches import AnyProjection
from bus.core.errors import (
    BusClosed,
    BusError,
    Parked,
    QueryError,
    QueryFailed,
    QueryTimeout,
    UnknownQuery,
    ViewNotBuilt,
    ViewsDropped,
    in_words,
)
from bus.core.letters import After
from bus.core.limits import Limits
from bus.core.messages import Cursor, Page, Query, View
from bus.core.projection import PARK, Projection
from bus.core.reports import Queried
from bus.core.schema import DECODE_ERRORS
from bus.core.stored import ViewTable
from bus.ports import ViewReader
from bus.read.finding import Order, conditions_of, order_of
from bus.read.lineage import Lineage, Source
from bus.read.progress import Progress
from bus.read.services import Services

V = TypeVar("V", bound=View)
R = TypeVar("R")


_LIMIT_MAX = 2**63 - 1
"""What databases count to."""


class StartAgain(BaseException):
    """Leaves a handler whose snapshot is too old for a view that it came to read; to catch it changes nothing."""


class Queries:
    """Step 9 of a message's journey."""

    def __init__(
        self, services: Services, lineages: Mapping[str, Lineage], refresh: Callable[[], Awaitable[None]]
    ) -> None:
        application = services.application
        self._application = application
        self._view_store = services.view_store
        self._lineages = lineages
        self._refresh = refresh
        """Looks again which tables there are."""
        self._clock = services.clock
        self._telemetry = services.telemetry
        self._limits = services.limits
        self._decoders: dict[type[View], Callable[[bytes], View]] = {
            view: msgspec.json.Decoder(view).decode for view in application.projection_of
        }
        self._is_open = True
        parking = [one for one in application.projections if any(version.on_poison is PARK for version in one.versions)]
        self.may_park = frozenset([one.name for one in parking])
        """Projections that may have dead letters, in the version that answers or in another one that may."""

    def close(self) -> None:
        """Refuses what is asked from now on."""
        self._is_open = False

    async def ask(self, query: Query[R], after: After, timeout: float | None) -> R:
        """The answer; raises a subclass of `QueryError` or `NotProjected`."""
        deadline = self.deadline(timeout)
        with self.telling(query) as handler:
            return await self._run(handler, query, after, deadline)

    def deadline(self, timeout: float | None) -> float:
        """When a query that is asked now must have been answered."""
        return self._clock.monotonic() + (self._limits.query_timeout_s if timeout is None else timeout)

    def handler_of(self, query: Query[Any]) -> Callable[..., Any]:
        """Who answers it; raises `UnknownQuery`, or `BusClosed`."""
        name = type(query).__qualname__
        handler = self._application.handler_of.get(type(query))
        if handler is None:
            if isinstance(query, type):
                raise UnknownQuery(f"{query.__qualname__} is a class: ask an instance, {query.__name__}(...)")
            raise UnknownQuery(
                f"nobody answers {name}: add its handler to Application(query_handlers=[...])",
            )
        if not self._is_open:
            raise BusClosed(f"{name} was not answered: the bus is closed. Ask inside its `async with` block")
        return handler

    def batches_of(self, query: Query[Any]) -> tuple[str, ...]:
        """The batch projections whose tables its handler reads."""
        return self._application.batches_of.get(type(query), ())

    @contextmanager
    def telling(self, query: Query[Any]) -> Generator[Callable[..., Any]]:
        """Gives the handler, and tells telemetry what became of the query inside the block."""
        handler = self.handler_of(query)
        started = self._clock.monotonic()
        failure: BusError | None = None
        is_answered = False
        try:
            yield handler
            is_answered = True
        except BusError as error:
            failure = error
            raise
        finally:
            name = type(query).__qualname__
            self._telemetry.queried(Queried(name, started, self._clock.monotonic(), failure, is_answered, query))
            # Its traceback leads to this frame.
            del failure

    def late(self, query: Query[Any]) -> QueryTimeout:
        """For who was not answered by the deadline."""
        name = type(query).__qualname__
        return QueryTimeout(f"{name} was not answered in time; ask again, or with more time", query=name)

    def restless(self, query: Query[Any]) -> QueryFailed:
        """For a handler that was run again and again."""
        name = type(query).__qualname__
        return QueryFailed(
            f"the handler of {name} read another view at each of {self._limits.query_restarts_max} attempts; "
            "it must read the same views when it is run again",
            query=name,
        )

    async def _run(self, handler: Callable[..., Any], query: Query[R], after: After, deadline: float) -> R:
        for batch in self.batches_of(query):
            # What its handler reads is not the snapshot's, and has to be there before it begins.
            await self._lineages[batch].progress.wait(after.position, deadline)
        late: Progress | None = None
        is_refreshed = False
        attempts = 0
        while attempts < self._limits.query_restarts_max:
            # No snapshot is held meanwhile: it would be too old, and stores have few of them at a time.
            if late is not None:
                await late.wait(after.position, deadline)
            answered: tuple[R, None] | tuple[None, Progress] | None = None
            with anyio.CancelScope(deadline=deadline):
                try:
                    answered = await self._attempt(handler, query, after)
                except ViewsDropped as dropped:
                    # Another process has let other views answer, and has dropped these. The others may have to come
                    # as far first as what was answered from these.
                    await self.look_for(dropped)
                    if is_refreshed:
                        await anyio.sleep(self._limits.poll_interval_s)
                    is_refreshed = True
                    late = None
                    continue
            attempts += 1
            if answered is None:
                raise self.late(query)
            answer, late = answered
            if late is None:
                return answer  # type: ignore[return-value]
        raise self.restless(query)

    async def _attempt(
        self, handler: Callable[..., Any], query: Query[R], after: After
    ) -> tuple[R, None] | tuple[None, Progress]:
        """Runs the handler on a snapshot; gives the projection for which that is too old, if it comes to read it."""
        # Noted before the snapshot is taken: it holds at least this.
        sources = self.sources()
        async with self._view_store.snapshot() as reader:
            views = self.views(reader, sources, after)
            try:
                answer: R = await handler(query, views)
            except (Exception, BaseExceptionGroup, StartAgain) as error:
                # What a handler makes of `StartAgain`, such as a group of its tasks' exceptions, is of no interest.
                if views.outdated is None:
                    if isinstance(error, BusError) or not isinstance(error, Exception):
                        raise
                    raise failed(query, error) from error
            else:
                if views.outdated is None:
                    return answer, None
        return None, self._lineages[views.outdated].progress

    def sources(self) -> dict[str, Source]:
        """Where views are read from now on, and what they hold at least, by projection."""
        return {name: lineage.source for name, lineage in self._lineages.items()}

    def table(self, projection: str) -> ViewTable:
        """Where a projection's views are read from now on."""
        return self._lineages[projection].answers.table

    async def look_for(self, dropped: ViewsDropped) -> None:
        """Looks which views are there instead of those that were; raises the same where this process knows none."""
        await self._refresh()
        if not self._lineages[dropped.projection].builds:
            raise dropped

    def views(self, reader: ViewReader, sources: Mapping[str, Source], after: After) -> "SnapshotViews":
        """What a handler is given."""
        return SnapshotViews(
            self._application,
            reader,
            decoders=self._decoders,
            sources=sources,
            after=after,
            may_park=self.may_park,
            limits=self._limits,
        )


def failed(query: Query[Any], error: Exception) -> QueryFailed:
    """What is made of a handler's exception; to be raised from it."""
    name = type(query).__qualname__
    return QueryFailed(f"the handler of {name} raised {type(error).__name__}: {error}", query=name)


class SnapshotViews:
    """The `Views` of one run of a handler."""

    def __init__(
        self,
        application: Application,
        reader: ViewReader,
        *,
        decoders: Mapping[type[View], Callable[[bytes], View]],
        sources: Mapping[str, Source],
        after: After,
        may_park: frozenset[str],
        limits: Limits,
    ) -> None:
        self._application = application
        self._reader = reader
        self._decoders = decoders
        self._sources = sources
        self._after = after
        self._may_park = may_park
        self._find_views_max = limits.find_views_max
        self._find_values_max = limits.find_values_max
        self._entered: set[str] = set()
        """Projections that were looked through for dead letters."""
        self.keys: dict[str, set[str] | None] = {}
        """The views that were read, by projection, in the order in which each was read first; None stands for all of
        its views, any of which may change what is found."""
        self.outdated: str | None = None
        """A projection that was read and is not yet at `after` in this snapshot."""

    async def get(self, view: type[V], key: str) -> V | None:
        """The view of one key, or None."""
        source = await self._enter(view)
        if not isinstance(key, str):
            raise QueryError(f"get: a key is a text, not {key!r}")
        keys = self.keys.setdefault(source.table.projection, set())
        if keys is not None:
            keys.add(key)
        payload = await self._reader.get(source.table, key)
        return None if payload is None else self._decode(view, payload)

    async def find(
        self,
        view: type[V],
        *,
        order_by: str | None = None,
        limit: int | None = None,
        after: Cursor | None = None,
        **where: Any,
    ) -> list[V]:
        """See `bus.core.Views.find`."""
        if limit is not None:
            _check_limit(limit, 0)
        bound = self._find_views_max
        _, found = await self._find(view, where, order_by, after, bound + 1 if limit is None else limit)
        if limit is None and len(found) > bound:
            raise QueryError(
                f"find: more than {bound} views of {view.__qualname__} match, which is Limits.find_views_max; "
                "name a limit or ask for less"
            )
        return [self._decode(view, payload) for _, payload in found]

    async def find_page(
        self, view: type[V], *, limit: int, order_by: str | None = None, after: Cursor | None = None, **where: Any
    ) -> Page[V]:
        """See `bus.core.Views.find_page`."""
        _check_limit(limit, 1)
        order, found = await self._find(view, where, order_by, after, limit + 1)
        page = found[:limit]
        views = tuple([self._decode(view, payload) for _, payload in page])
        return Page(views, order.cursor(views[-1], page[-1][0]) if len(found) > limit else None)

    async def _find(
        self, view: type[V], where: Mapping[str, Any], order_by: str | None, after: Cursor | None, limit: int
    ) -> tuple[Order, Sequence[tuple[str, bytes]]]:
        """Keys and payloads in order."""
        source = await self._enter(view)
        projection = source.projection
        assert isinstance(projection, Projection), "what keeps views is no batch projection"
        self.keys[projection.name] = None
        conditions = conditions_of(projection, where, self._find_values_max)
        order = order_of(projection, order_by, after)
        return order, await self._reader.find(
            source.table, conditions, order.field, order.descending, min(limit, _LIMIT_MAX), after=order.after
        )

    async def _enter(self, view: type[View]) -> Source:
        """Where the view is, if the snapshot holds what was asked for; else leaves the handler."""
        projection = self._application.projection_of.get(view)
        if projection is None:
            raise UnknownQuery(
                f"no projection keeps the view {getattr(view, '__qualname__', view)!r}; "
                "add its projection to Application(projections=[...])"
            )
        source = self._sources[projection.name]
        if not source.is_built or view not in _views_of(source.projection):
            raise _not_built(view, projection, source)
        if source.position < self._after.position:
            self.outdated = projection.name
            raise StartAgain
        if projection.name not in self._entered:
            if source.lineage is not None and source.lineage.is_watched:
                position = (await self._reader.checkpoint(source.table)).position
                if not source.lineage.read(source.table, position):
                    self.outdated = projection.name
                    raise StartAgain
            if projection.name in self._may_park:
                await check_parked(self._reader, source.table, self._after)
            self._entered.add(projection.name)
        return source

    def _decode(self, view: type[V], payload: bytes) -> V:
        try:
            return self._decoders[view](payload)  # type: ignore[return-value]
        except DECODE_ERRORS as error:
            raise QueryError(
                f"a stored view does not decode as {view.__qualname__} ({in_words(error)}); "
                "raise the projection's version when the view changes its shape"
            ) from error


def _views_of(projection: AnyProjection) -> tuple[type[View], ...]:
    return (projection.view,) if isinstance(projection, Projection) else ()


def _not_built(view: type[View], projection: Projection[Any, Any], source: Source) -> ViewNotBuilt:
    what = f"the views {view.__qualname__} of projection {projection.name!r} version {projection.version}"
    if source.is_built:
        told = f"version {source.table.version} answers until then, in processes that still have its query handlers"
    else:
        told = f"they are at position {source.position}"
    return ViewNotBuilt(
        f"{what} are being built: {told}. Ask again once they answer, as `doubledecker projections status` shows",
        view=view.__qualname__,
        projection=projection.name,
        position=source.position,
    )


async def check_parked(reader: ViewReader, table: ViewTable, after: After) -> None:
    """Raises `Parked` where one of the events asked for is a dead letter in this snapshot."""
    if after.first > after.position:
        return
    for letter in await reader.letters(table, after.first, after.position):
        if after.stream in (None, letter.stream):
            raise Parked(
                f"projection {table.projection!r} has parked the event at position {letter.position} for key "
                f"{letter.key!r}: {letter.error or 'it waits behind an earlier one'}. What was sent is recorded, but "
                "is not in that view; mend the cause and retry its dead letters",
                projection=table.projection,
                position=letter.position,
                key=letter.key,
            )


def _check_limit(limit: object, least: int) -> None:
    if not isinstance(limit, int):
        raise QueryError(f"find: limit must be a whole number, not {limit!r}")
    if limit < least:
        raise QueryError(f"find: limit must not be {'negative' if least == 0 else 'below 1'}, but is {limit}")
