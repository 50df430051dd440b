"""What a user writes, as both strict type checkers must accept it; read by them, and built by a test."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, NewType, TypeAlias, assert_type

from bus import Bus
from bus.core import (
    REMOVED,
    SAFE,
    STOP,
    Application,
    Command,
    Cursor,
    Decider,
    Drop,
    Event,
    Page,
    Projection,
    Query,
    Recorded,
    Rejected,
    Removed,
    Snapshots,
    Split,
    State,
    Upcaster,
    View,
    Views,
    at_least,
    below,
    between,
    cached,
    one_of,
)
from bus.core.errors import BusError
from bus.core.messages import Answer, Loaded, Receipt
from bus.testing import Decided, GivenDecider, GivenProjection, given

FlightId = NewType("FlightId", str)


class ScheduleFlight(Command):
    flight_id: FlightId
    departs_at: datetime


class CancelFlight(Command):
    flight_id: FlightId
    at: datetime


FlightCommand: TypeAlias = ScheduleFlight | CancelFlight


class FlightScheduled(Event, tag="flight-scheduled"):
    origin: Annotated[str, SAFE]
    departs_at: datetime


class FlightCancelled(Event, tag="flight-cancelled"):
    at: datetime


FlightEvent: TypeAlias = FlightScheduled | FlightCancelled


class NotScheduled(Rejected): ...


class Flight(State):
    departs_at: datetime | None = None
    cancelled: bool = False


def decide(command: FlightCommand, flight: Flight) -> Sequence[FlightEvent]:
    match command:
        case ScheduleFlight():
            return [FlightScheduled(origin="EWR", departs_at=command.departs_at)]
        case CancelFlight():
            if flight.departs_at is None:
                raise NotScheduled("schedule the flight first", flight_id=command.flight_id)
            return [FlightCancelled(at=command.at)]


def evolve(flight: Flight, event: FlightEvent) -> Flight:
    match event:
        case FlightScheduled():
            return Flight(departs_at=event.departs_at)
        case FlightCancelled():
            return Flight(departs_at=flight.departs_at, cancelled=True)


FLIGHT = Decider(
    category="flight",
    initial=Flight(),
    identify=lambda c: c.flight_id,
    decide=decide,
    evolve=evolve,
    snapshots=Snapshots(version=1, every_events=100),
)


class Departure(View):
    flight_id: str
    origin: str
    departs_at: datetime


def project(view: Departure | None, recorded: Recorded[FlightEvent], key: str) -> Departure | Removed:
    match recorded.event:
        case FlightScheduled(origin=origin, departs_at=departs_at):
            return Departure(flight_id=key, origin=origin, departs_at=departs_at)
        case FlightCancelled():
            return REMOVED


DEPARTURES = Projection(
    name="departures",
    version=1,
    view=Departure,
    project=project,
    key=lambda recorded: recorded.stream_id,
    indexes=("origin", "departs_at", ("origin", "departs_at")),
    on_poison=STOP,
)


class GetDepartures(Query[list[Departure]]):
    airport: str
    limit: int = 20


async def departures(query: GetDepartures, views: Views) -> list[Departure]:
    found = await views.find(Departure, origin=query.airport, order_by="departs_at", limit=query.limit)
    assert_type(found, list[Departure])
    return found


class GetPage(Query[Page[Departure]]):
    airports: tuple[str, ...]
    day: datetime
    after: Cursor | None = None


async def page(query: GetPage, views: Views) -> Page[Departure]:
    found = await views.find_page(
        Departure,
        origin=one_of(*query.airports),
        departs_at=at_least(query.day) & below(query.day + timedelta(days=1)),
        order_by="-departs_at",
        limit=20,
        after=query.after,
    )
    assert_type(found, Page[Departure])
    assert_type(found.views, tuple[Departure, ...])
    assert_type(found.next, Cursor | None)
    assert_type(await views.find(Departure, departs_at=between(query.day, query.day)), list[Departure])
    return found


class GetDeparture(Query[Departure | None]):
    flight_id: FlightId


class Desk:
    """A bound method is a query handler that has dependencies."""

    async def departure(self, query: GetDeparture, views: Views) -> Departure | None:
        found = await views.get(Departure, query.flight_id)
        assert_type(found, Departure | None)
        return found


def in_minutes(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"minutes": data["hours"] * 60}


def apart(data: dict[str, Any]) -> Sequence[tuple[str, dict[str, Any]]]:
    return [("delayed", {"hours": hours}) for hours in data["hours"]]


UPCASTERS = (
    Upcaster("delayed", to="delayed@2", up=in_minutes),
    Upcaster("late", to="delayed@2", up=lambda data: {"minutes": data["by"]}),
    Upcaster("tardy", to="late"),
    Split("delays", to=("delayed",), up=apart),
    Drop("delayed@2"),
)

TRAFFIC = Application(
    deciders=[FLIGHT],
    projections=[DEPARTURES],
    query_handlers=[cached(departures), page, cached(Desk().departure, answers_max=10)],
    upcasters=UPCASTERS,
)


async def embedded(now: datetime) -> None:
    """Every call of the bus answers in the types of what it was asked; an `Any` would fail here."""
    async with Bus(TRAFFIC) as bus:
        receipt = await bus.send(ScheduleFlight(flight_id=FlightId("UA-1"), departs_at=now))
        assert_type(receipt, Receipt)
        assert_type(await bus.query(GetDepartures(airport="EWR"), after=receipt), list[Departure])
        assert_type(await bus.query(GetDeparture(flight_id=FlightId("UA-1")), after=receipt), Departure | None)
        pages = GetPage(airports=("EWR", "JFK"), day=now)
        assert_type(await bus.query(pages, after=receipt), Page[Departure])
        assert await bus.query(pages) == Page((Departure(flight_id="UA-1", origin="EWR", departs_at=now),), None)
        outcomes = await bus.send_many([CancelFlight(flight_id=FlightId("UA-1"), at=now)])
        assert_type(outcomes, list[Receipt | BusError])
        loaded = await bus.load(FLIGHT, "UA-1")
        assert_type(loaded, Loaded[Flight])
        assert loaded.state.cancelled
        answers = bus.watch(GetDepartures(airport="EWR"))
        assert_type(answers, AsyncGenerator[Answer[list[Departure]]])
        recorded = [one.event async for one in bus.events("flight-UA-1")]
        assert recorded == [FlightScheduled(origin="EWR", departs_at=now), FlightCancelled(at=now)]


def tested(now: datetime) -> None:
    """The test kit answers in the types of the decider or the projection that it was given."""
    scheduled = FlightScheduled(origin="EWR", departs_at=now)
    flight = given(FLIGHT, scheduled)
    assert_type(flight, GivenDecider[FlightCommand, Flight, FlightEvent])
    cancelled = flight.when(CancelFlight(flight_id=FlightId("UA-1"), at=now)).then(FlightCancelled(at=now))
    assert_type(cancelled, Decided[FlightCommand, Flight, FlightEvent])
    assert_type(cancelled.events, tuple[FlightEvent, ...])
    assert_type(cancelled.state, Flight)
    assert_type(cancelled.rejection, Rejected | None)
    cancelled.then_state(Flight(departs_at=now, cancelled=True))
    given(FLIGHT).when(CancelFlight(flight_id=FlightId("UA-1"), at=now)).then_rejected(NotScheduled, flight_id="UA-1")
    board = given(DEPARTURES).recorded("flight-UA-1", scheduled)
    assert_type(board, GivenProjection[Departure, FlightEvent])
    assert_type(board.views, Mapping[str, Departure])
    board.then_view("UA-1", Departure(flight_id="UA-1", origin="EWR", departs_at=now))
    board.recorded("flight-UA-1", FlightCancelled(at=now), recorded_at=now).then_no_view("UA-1").then_views({})
