"""Given/when/then for projections: given events in their places, then views."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Generic, Self, TypeVar

from bus.core.limits import Limits
from bus.core.messages import Event, Recorded, View
from bus.core.names import category_of, id_fault, id_of, is_category
from bus.core.projection import Projection
from bus.core.schema import Schema
from bus.testing.differences import lines_of, told
from bus.testing.histories import read_back
from bus.testing.projecting import projected

V = TypeVar("V", bound=View)
E = TypeVar("E", bound=Event)

RECORDED_AT: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""When the events of a test are recorded, until it names another time."""


class GivenProjection(Generic[V, E]):
    """A projection after the events that were recorded; made by `given`, and itself never changed."""

    def __init__(self, projection: Projection[V, E], limits: Limits) -> None:
        self._projection = projection
        self._limits = limits
        self._schema = Schema(projection.events)
        self._views: dict[str, V] = {}
        self._payloads: dict[str, bytes] = {}
        """The views as a store holds them."""
        self._position = 0
        self._versions: dict[str, int] = {}
        self._recorded_at = RECORDED_AT

    @property
    def views(self) -> Mapping[str, V]:
        """All views by key, as they are read back from the store."""
        return self._views

    def recorded(
        self,
        stream: str,
        event: E,
        /,
        *more: E,
        position: int | None = None,
        version: int | None = None,
        recorded_at: datetime | None = None,
        command_id: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        traceparent: str | None = None,
    ) -> "GivenProjection[V, E]":
        """The projection after these events of one stream, such as `"flight-UA-1"`; they follow all earlier ones.

        Positions and versions count from 1 unless the first event's are given; only gaps may be made. The time is that
        of the last events, at first `RECORDED_AT`. Each event has a command of its own, `"command-1"` at position 1,
        unless it is given.

        Every event is projected by itself as the bus would, twice, and every view is read back from its encoding.
        Raises `ProjectionStopped`, with its cause, where the bus would stop the projection, `AssertionError` where it
        is not pure, and TypeError or ValueError for what no store can hold.
        """
        _check_stream(stream)
        after = self._after()
        after._recorded_at = _moment(recorded_at, self._recorded_at)
        after._position = _next("position", position, self._position) - 1
        after._versions[stream] = _next("version", version, self._versions.get(stream, 0)) - 1
        for one in (event, *more):
            after._position += 1
            after._versions[stream] += 1
            own_id = command_id or f"command-{after._position}"
            after._project(
                Recorded(
                    event=read_back(one, self._schema, f"projection {self._projection.name!r}"),
                    stream=stream,
                    stream_id=id_of(stream),
                    version=after._versions[stream],
                    position=after._position,
                    recorded_at=after._recorded_at,
                    command_id=own_id,
                    correlation_id=correlation_id or own_id,
                    causation_id=causation_id,
                    traceparent=traceparent,
                )
            )
        return after

    def then_view(self, key: str, view: V) -> Self:
        """This is the view of that key."""
        __tracebackhide__ = True
        if key not in self._views:
            lines = [f"missing: {view!r}", f"there are {sorted(self._views)}" if self._views else "there are no views"]
            raise AssertionError(told(f"there is no view of key {key!r}:", lines))
        lines = lines_of(view, self._views[key])
        if lines:
            raise AssertionError(told(f"the view of key {key!r} is another than expected:", lines))
        return self

    def then_no_view(self, key: str) -> Self:
        """That key has no view: none was made, or it was removed."""
        __tracebackhide__ = True
        if key in self._views:
            raise AssertionError(f"key {key!r} was expected to have no view, but has {self._views[key]!r}")
        return self

    def then_views(self, views: Mapping[str, V]) -> Self:
        """These are all views, by key."""
        __tracebackhide__ = True
        lines = [f"view {key!r} was not expected: {view!r}" for key, view in self._views.items() if key not in views]
        for key, view in views.items():
            if key not in self._views:
                lines.append(f"view {key!r} is missing: {view!r}")
            else:
                lines += lines_of(view, self._views[key], f"view {key!r}, {type(view).__name__}")
        if lines:
            raise AssertionError(told(f"the views of {self._projection.name!r} are others than expected:", lines))
        return self

    def _after(self) -> "GivenProjection[V, E]":
        after = GivenProjection(self._projection, self._limits)
        after._views, after._payloads = dict(self._views), dict(self._payloads)
        after._versions = dict(self._versions)
        return after

    def _project(self, recorded: Recorded[Any]) -> None:
        folded = projected(self._projection, recorded, self._payloads, self._limits)
        for stored in folded.put:
            self._payloads[stored.key] = stored.payload
        views: Any = folded.views
        self._views.update(views)
        for key in folded.removed:
            self._payloads.pop(key, None)
            del self._views[key]


def _check_stream(stream: str) -> None:
    if not is_category(category_of(stream)) or id_fault(id_of(stream)) is not None:
        raise ValueError(f"{stream!r} is no stream: name category and id, such as 'flight-UA-1'")


def _next(what: str, given: int | None, last: int) -> int:
    if given is None:
        return last + 1
    if given <= last:
        raise ValueError(f"{what} {given} does not follow {last}, which is taken: give a later one, or none")
    return given


def _moment(given: datetime | None, last: datetime) -> datetime:
    if given is None:
        return last
    if given.tzinfo is None:
        raise ValueError(f"recorded_at={given!r} has no zone: the store's times are in UTC")
    return given.astimezone(UTC)
