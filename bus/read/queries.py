"""Queries: runs query handlers on one snapshot of the views, if asked not before a given position."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import anyio
import msgspec

from bus.core.application import Application
from bus.core.errors import BusError, QueryError, QueryFailed, QueryTimeout, UnknownQuery, ViewNotIndexed
from bus.core.limits import Limits
from bus.core.messages import Query, View
from bus.core.projection import IndexValue, Projection, index_value
from bus.ports import Clock, Telemetry, ViewReader, ViewStore
from bus.read.progress import Progress
from bus.read.projector import table_of

V = TypeVar("V", bound=View)
R = TypeVar("R")


class Reads(msgspec.Struct):
    """What an answer was read from."""

    keys: dict[str, set[str] | None]
    """By projection; None stands for all of its views, any of which may change a `find`."""
    position: int
    """All those views hold at least the events up to here."""


class Waits:
    """Waiting for projections on behalf of one query."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.waiting_for: Progress | None = None

    async def until_projected(self, progress: Progress) -> None:
        self.waiting_for = progress
        await progress.wait(self.after)
        self.waiting_for = None


class _StartAgain(BaseException):
    """Leaves a handler whose snapshot is too old for a view that it came to read; no handler may catch it."""


class Queries:
    """Step 9 of a message's journey."""

    def __init__(
        self,
        application: Application,
        view_store: ViewStore,
        progress: Mapping[str, Progress],
        *,
        clock: Clock,
        telemetry: Telemetry,
        limits: Limits,
    ) -> None:
        self._application = application
        self._view_store = view_store
        self._progress = progress
        self._clock = clock
        self._telemetry = telemetry
        self._limits = limits
        self._decoders: dict[type[View], Callable[[bytes], View]] = {
            view: msgspec.json.Decoder(view).decode for view in application.projection_of
        }
        self._known_reads: dict[type[Query[Any]], set[str]] = {}
        """Projections that the handler of each query was seen to read: they are waited for before the snapshot."""

    async def ask(self, query: Query[R], after: int, timeout: float | None) -> R:
        """The answer; raises a subclass of `QueryError` or `NotProjected`."""
        answer, _ = await self.ask_and_tell(query, after, timeout)
        return answer

    async def ask_and_tell(self, query: Query[R], after: int, timeout: float | None) -> tuple[R, Reads]:
        """The answer and what it was read from."""
        name = type(query).__qualname__
        handler = self._application.handler_of.get(type(query))
        if handler is None:
            raise UnknownQuery(
                f"nobody answers {name}: add its handler to Application(query_handlers=[...])",
            )
        timeout_s = self._limits.query_timeout_s if timeout is None else timeout
        started = self._clock.monotonic()
        waits = Waits(after)
        code: str | None = None
        try:
            with anyio.CancelScope(deadline=started + timeout_s):
                return await self._run(handler, query, waits)
            if waits.waiting_for is not None:
                raise waits.waiting_for.late(after)
            raise QueryTimeout(
                f"{name} was not answered within {timeout_s} s; ask again, or with more time", query=name
            )
        except BusError as error:
            code = error.code
            raise
        finally:
            self._telemetry.queried(name, self._clock.monotonic() - started, code)

    async def _run(self, handler: Callable[..., Any], query: Query[R], waits: Waits) -> tuple[R, Reads]:
        known = self._known_reads.setdefault(type(query), set())
        for _ in range(self._limits.query_restarts_max):
            for name in sorted(known):
                await waits.until_projected(self._progress[name])
            # Noted before the snapshot is taken: it holds at least this.
            positions = {name: progress.position for name, progress in self._progress.items()}
            async with self._view_store.snapshot() as reader:
                views = SnapshotViews(
                    self._application,
                    reader,
                    decoders=self._decoders,
                    positions=positions,
                    progress=self._progress,
                    waits=waits,
                    find_views_max=self._limits.find_views_max,
                )
                try:
                    answer = await handler(query, views)
                except _StartAgain:
                    continue
                except BusError:
                    raise
                except Exception as error:
                    raise QueryFailed(
                        f"the handler of {type(query).__qualname__} raised {type(error).__name__}: {error}",
                        query=type(query).__qualname__,
                    ) from error
                finally:
                    known.update(views.keys)
            position = min([positions[name] for name in views.keys], default=max(positions.values(), default=0))
            return answer, Reads(views.keys, position)
        raise QueryFailed(
            f"the handler of {type(query).__qualname__} read another view at each of "
            f"{self._limits.query_restarts_max} attempts; it must read the same views when it is run again",
            query=type(query).__qualname__,
        )


class SnapshotViews:
    """The `Views` of one run of a handler."""

    def __init__(
        self,
        application: Application,
        reader: ViewReader,
        *,
        decoders: Mapping[type[View], Callable[[bytes], View]],
        positions: Mapping[str, int],
        progress: Mapping[str, Progress],
        waits: Waits,
        find_views_max: int,
    ) -> None:
        self._application = application
        self._reader = reader
        self._decoders = decoders
        self._positions = positions
        self._progress = progress
        self._waits = waits
        self._find_views_max = find_views_max
        self.keys: dict[str, set[str] | None] = {}
        """As in `Reads`."""

    async def get(self, view: type[V], key: str) -> V | None:
        """The view of one key, or None."""
        projection = await self._enter(view)
        keys = self.keys.setdefault(projection.name, set())
        if keys is not None:
            keys.add(key)
        payload = await self._reader.get(table_of(projection), key)
        return None if payload is None else self._decode(view, payload)

    async def find(
        self, view: type[V], *, order_by: str | None = None, limit: int | None = None, **where: Any
    ) -> list[V]:
        """All views whose indexed fields equal `where`; see `bus.core.Views.find`."""
        projection = await self._enter(view)
        self.keys[projection.name] = None
        descending = order_by is not None and order_by.startswith("-")
        field = order_by.removeprefix("-") if order_by is not None else None
        for name in (*where, *([field] if field is not None else [])):
            _check_indexed(projection, name)
        if limit is not None and limit < 0:
            raise QueryError(f"find: limit must not be negative, but is {limit}")
        values: dict[str, IndexValue] = {name: index_value(value) for name, value in where.items()}
        bound = self._find_views_max
        asked = bound + 1 if limit is None else limit
        payloads = await self._reader.find(table_of(projection), values, field, descending, asked)
        if limit is None and len(payloads) > bound:
            raise QueryError(
                f"find: more than {bound} views of {view.__qualname__} match, which is Limits.find_views_max; "
                "name a limit or ask for less"
            )
        return [self._decode(view, payload) for payload in payloads]

    async def _enter(self, view: type[View]) -> Projection[Any, Any]:
        """The view's projection, once the snapshot is sure to hold what was asked for."""
        projection = self._application.projection_of.get(view)
        if projection is None:
            raise UnknownQuery(
                f"no projection keeps the view {getattr(view, '__qualname__', view)!r}; "
                "add its projection to Application(projections=[...])"
            )
        name = projection.name
        if name not in self.keys and self._positions[name] < self._waits.after:
            self.keys[name] = set()
            await self._waits.until_projected(self._progress[name])
            raise _StartAgain
        return projection

    def _decode(self, view: type[V], payload: bytes) -> V:
        try:
            return self._decoders[view](payload)  # type: ignore[return-value]
        except msgspec.MsgspecError as error:
            raise QueryError(
                f"a stored view does not decode as {view.__qualname__} ({error}); "
                "raise the projection's version when the view changes its shape"
            ) from error


def _check_indexed(projection: Projection[Any, Any], field: str) -> None:
    if field in projection.indexes:
        return
    view = projection.view.__qualname__
    if field not in projection.view.__struct_fields__:
        raise ViewNotIndexed(f"{view} has no field {field!r}", view=view, field=field)
    wanted = (*projection.indexes, field)
    raise ViewNotIndexed(
        f"{view} cannot be found or ordered by {field!r}: declare indexes={wanted!r} in projection {projection.name!r}",
        view=view,
        field=field,
    )
