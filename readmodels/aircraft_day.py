"""Aircraft days: the flights of one aircraft on one day, in order."""

from datetime import UTC, date, timedelta
from typing import Final, assert_never

from msgspec.structs import replace

from bus.core import STOP, Message, Projection, Query, Recorded, View, Views
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

DAY_BEGINS: Final = timedelta(hours=9)
"""An aircraft's day begins at 09:00 UTC: in New York that is four in the morning, when hardly anything departs.
At midnight UTC the day would be cut in the evening rush."""

LEGS_MAX: Final = 40
"""No aircraft flies more in a day; wrong records shall not make a view grow without end."""


class Leg(Message):
    """One flight of an aircraft's day."""

    flight_id: FlightId
    origin: Airport
    destination: Airport
    departs_at: Instant
    """As scheduled."""
    status: Status
    departed_at: Instant | None = None
    ended_at: Instant | None = None
    """When the flight landed, was diverted or was cancelled."""


class AircraftDay(View):
    """What one aircraft does on one day."""

    aircraft: str
    day: date
    legs: tuple[Leg, ...] = ()
    """By scheduled departure."""
    legs_left_out: int = 0
    """Flights beyond `LEGS_MAX`."""


def project(view: AircraftDay | None, recorded: Recorded[FlightEvent], key: str) -> AircraftDay:
    """The aircraft's day after an event of one of its flights."""
    event = recorded.event
    if isinstance(event, FlightScheduled):
        if view is None:
            view = AircraftDay(aircraft=key.rpartition("/")[0], day=day_of(event.departs_at))
        return _with_leg(view, event, FlightId(recorded.stream_id))
    assert view is not None, "a flight is scheduled before anything else happens to it"
    legs = list(view.legs)
    for index, leg in enumerate(legs):
        if leg.flight_id == recorded.stream_id:
            legs[index] = _changed(leg, event)
            return replace(view, legs=tuple(legs))
    return view  # It is one of those left out.


def _with_leg(view: AircraftDay, event: FlightScheduled, flight_id: FlightId) -> AircraftDay:
    if len(view.legs) >= LEGS_MAX:
        return replace(view, legs_left_out=view.legs_left_out + 1)
    leg = Leg(flight_id, event.origin, event.destination, event.departs_at, Status.SCHEDULED)
    return replace(view, legs=tuple(sorted((*view.legs, leg), key=_by_departure)))


def _by_departure(leg: Leg) -> tuple[Instant, str]:
    return leg.departs_at, leg.flight_id


def _changed(leg: Leg, event: FlightDeparted | FlightLanded | FlightDiverted | FlightCancelled) -> Leg:
    match event:
        case FlightDeparted():
            return replace(leg, status=Status.DEPARTED, departed_at=event.at)
        case FlightLanded():
            return replace(leg, status=Status.LANDED, ended_at=event.at)
        case FlightDiverted():
            return replace(leg, status=Status.DIVERTED, ended_at=event.at)
        case FlightCancelled():
            return replace(leg, status=Status.CANCELLED, ended_at=event.at)
        case _:
            assert_never(event)


def day_of(departs_at: Instant) -> date:
    """The day to which a scheduled departure belongs."""
    return (departs_at.astimezone(UTC) - DAY_BEGINS).date()


def _aircraft_and_day(recorded: Recorded[FlightEvent]) -> str | tuple[()]:
    event = recorded.event
    return () if event.aircraft is None else aircraft_day_key(event.aircraft, day_of(event.departs_at))


def aircraft_day_key(aircraft: str, day: date) -> str:
    """The view's key."""
    return f"{aircraft}/{day}"


AIRCRAFT_DAYS = Projection(
    name="aircraft-days",
    version=1,
    view=AircraftDay,
    project=project,
    key=_aircraft_and_day,
    on_poison=STOP,
)


class GetAircraftDay(Query[AircraftDay | None]):
    """What an aircraft does on a day; None where nothing is scheduled."""

    aircraft: str
    day: date


async def aircraft_day(query: GetAircraftDay, views: Views) -> AircraftDay | None:
    """Answers `GetAircraftDay`."""
    return await views.get(AircraftDay, aircraft_day_key(query.aircraft, query.day))
