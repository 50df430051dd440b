"""Histories for read models: recorded events of flights as the domain decides them, and a fold without any store."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from bus.core import Event, Projection, Recorded, View
from bus.core.messages import Removed
from domain.flight import (
    FLIGHT,
    Airport,
    CancelFlight,
    DepartFlight,
    DivertFlight,
    FlightCommand,
    FlightEvent,
    FlightId,
    LandFlight,
    ScheduleFlight,
    decide,
)

V = TypeVar("V", bound=View)

DEPARTS_AT = datetime(2013, 1, 1, 15, 0, tzinfo=UTC)
ARRIVES_AT = DEPARTS_AT + timedelta(hours=3)


def scheduled(
    flight_id: str,
    *,
    carrier: str = "UA",
    origin: str = "EWR",
    destination: str = "IAH",
    aircraft: str | None = "N14228",
    departs_at: datetime = DEPARTS_AT,
) -> ScheduleFlight:
    return ScheduleFlight(
        flight_id=FlightId(flight_id),
        carrier=carrier,
        number=1545,
        origin=Airport(origin),
        destination=Airport(destination),
        aircraft=aircraft,
        departs_at=departs_at,
        arrives_at=departs_at + (ARRIVES_AT - DEPARTS_AT),
    )


def departed(flight_id: str, delay: int = 0) -> DepartFlight:
    return DepartFlight(flight_id=FlightId(flight_id), at=DEPARTS_AT + timedelta(minutes=delay))


def landed(flight_id: str, delay: int = 0) -> LandFlight:
    return LandFlight(flight_id=FlightId(flight_id), at=ARRIVES_AT + timedelta(minutes=delay))


def diverted(flight_id: str) -> DivertFlight:
    return DivertFlight(flight_id=FlightId(flight_id), at=ARRIVES_AT)


def cancelled(flight_id: str) -> CancelFlight:
    return CancelFlight(flight_id=FlightId(flight_id), at=DEPARTS_AT)


def recorded(commands: Iterable[FlightCommand]) -> list[Recorded[FlightEvent]]:
    """The events of these commands with their places, in order."""
    flights: dict[str, tuple[Any, int]] = {}
    events: list[Recorded[FlightEvent]] = []
    for command in commands:
        flight, version = flights.get(command.flight_id, (FLIGHT.initial, 0))
        for event in decide(command, flight):
            flight, version = FLIGHT.evolve(flight, event), version + 1
            events.append(
                Recorded(
                    event=event,
                    stream=f"flight-{command.flight_id}",
                    stream_id=command.flight_id,
                    version=version,
                    position=len(events) + 1,
                    recorded_at=DEPARTS_AT,
                    command_id=str(len(events) + 1),
                    correlation_id=str(len(events) + 1),
                )
            )
        flights[command.flight_id] = flight, version
    return events


def folded(projection: Projection[V, Any], events: Iterable[Recorded[Any]]) -> dict[str, V]:
    """The views of a projection after these events."""
    views: dict[str, V] = {}
    for event in events:
        if type(event.event) not in projection.events:
            continue
        keys = projection.key(event)
        for key in keys if isinstance(keys, tuple) else (keys,):
            view = projection.project(views.get(key), event, key)
            assert not isinstance(view, Removed)
            views[key] = view
    return views


class FoldedViews:
    """Answers the queries of a test from views that were folded: one projection, no store."""

    def __init__(self, projection: Projection[Any, Any], events: Iterable[Recorded[Event]]) -> None:
        self._projection = projection
        self._views: dict[str, Any] = folded(projection, events)

    async def get(self, view: type[V], key: str) -> V | None:
        assert view is self._projection.view
        found: V | None = self._views.get(key)
        return found

    async def find(
        self, view: type[V], *, order_by: str | None = None, limit: int | None = None, **where: Any
    ) -> list[V]:
        assert view is self._projection.view
        fields: Sequence[str] = self._projection.indexes
        assert {*where, *([order_by.lstrip("-")] if order_by else [])} <= {*fields}
        found: list[V] = [
            self._views[key]
            for key in sorted(self._views)
            if all(getattr(self._views[key], name) == value for name, value in where.items())
        ]
        if order_by:
            found.sort(key=lambda one: getattr(one, order_by.lstrip("-")), reverse=order_by.startswith("-"))
        return found[:limit]
