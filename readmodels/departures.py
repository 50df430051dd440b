"""Departures: the departure board of each airport, one view a flight."""

from datetime import timedelta
from typing import assert_never

from msgspec.structs import replace

from bus.core import PARK, Projection, Query, Recorded, View, Views, at_least
from domain.flight import (
    Airport,
    FlightCancelled,
    FlightDeparted,
    FlightDiverted,
    FlightEvent,
    FlightId,
    FlightLanded,
    FlightScheduled,
    Instant,
    Status,
)


class Departure(View):
    """One line of a departure board."""

    flight_id: FlightId
    carrier: str
    number: int
    origin: Airport
    destination: Airport
    aircraft: str | None
    status: Status
    departs_at: Instant
    """As scheduled."""
    arrives_at: Instant
    """As scheduled."""
    departed_at: Instant | None = None
    delay: timedelta | None = None
    """Of the departure, negative when it was early; None before it."""
    ended_at: Instant | None = None
    """When the flight landed, was diverted or was cancelled."""
    arrival_delay: timedelta | None = None


def project(view: Departure | None, recorded: Recorded[FlightEvent], key: str) -> Departure:
    """The board's line after an event of its flight."""
    event = recorded.event
    if isinstance(event, FlightScheduled):
        return Departure(
            flight_id=FlightId(key),
            carrier=event.carrier,
            number=event.number,
            origin=event.origin,
            destination=event.destination,
            aircraft=event.aircraft,
            status=Status.SCHEDULED,
            departs_at=event.departs_at,
            arrives_at=event.arrives_at,
        )
    assert view is not None, "a flight is scheduled before anything else happens to it"
    match event:
        case FlightDeparted():
            return replace(view, status=Status.DEPARTED, departed_at=event.at, delay=event.delay)
        case FlightLanded():
            return replace(view, status=Status.LANDED, ended_at=event.at, arrival_delay=event.delay)
        case FlightDiverted():
            return replace(view, status=Status.DIVERTED, ended_at=event.at)
        case FlightCancelled():
            return replace(view, status=Status.CANCELLED, ended_at=event.at)
        case _:
            assert_never(event)


def _flight(recorded: Recorded[FlightEvent]) -> str:
    return recorded.stream_id


DEPARTURES = Projection(
    name="departures",
    version=1,
    view=Departure,
    project=project,
    key=_flight,
    indexes=("origin", "departs_at"),
    # One view a flight: what goes wrong with one of them need not keep the others from the board.
    on_poison=PARK,
)


class GetDepartures(Query[list[Departure]]):
    """The board of an airport, by scheduled departure: its first flights, or its latest with `latest=True`."""

    airport: Airport
    limit: int = 20
    latest: bool = False
    since: Instant | None = None
    """Leaves out what is scheduled to depart before."""


async def departures(query: GetDepartures, views: Views) -> list[Departure]:
    """Answers `GetDepartures`; the flights come in the order of their scheduled departure either way."""
    order = "-departs_at" if query.latest else "departs_at"
    if query.since is None:
        board = await views.find(Departure, origin=query.airport, order_by=order, limit=query.limit)
    else:
        since = at_least(query.since)
        board = await views.find(Departure, origin=query.airport, departs_at=since, order_by=order, limit=query.limit)
    return board[::-1] if query.latest else board
