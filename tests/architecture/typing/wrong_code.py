"""Mistakes that both strict type checkers must find.

Each stands on a line whose comment expects an error; a checker that finds none there reports the comment instead.
"""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from collections.abc import Sequence
from datetime import UTC, datetime

from bus import Bus
from bus.core import Command, Event, Recorded, Removed, View, Views, at_least, cached, one_of
from bus.testing import given
from tests.architecture.typing.user_code import (
    DEPARTURES,
    FLIGHT,
    Departure,
    Flight,
    FlightCommand,
    FlightEvent,
    FlightId,
    FlightScheduled,
    GetDepartures,
    NotScheduled,
    ScheduleFlight,
)


def decide(command: FlightCommand, flight: Flight) -> Sequence[FlightEvent]:  # type: ignore[return]
    match command:  # pyright: ignore[reportMatchNotExhaustive]
        case ScheduleFlight():
            return []


def evolve(flight: Flight, event: FlightEvent) -> Flight:  # type: ignore[return]
    match event:  # pyright: ignore[reportMatchNotExhaustive]
        case FlightScheduled():
            return flight


def project(view: Departure | None, recorded: Recorded[FlightEvent], key: str) -> Departure | Removed:  # type: ignore[return]
    match recorded.event:  # pyright: ignore[reportMatchNotExhaustive]
        case FlightScheduled():
            return Departure(flight_id=key, origin="EWR", departs_at=datetime.now(UTC))


def change(flight: Flight) -> None:
    flight.cancelled = True  # type: ignore[misc]


def lacking() -> ScheduleFlight:
    return ScheduleFlight(flight_id=FlightId("UA-1"))  # type: ignore[call-arg]


def mixed() -> ScheduleFlight:
    return ScheduleFlight(flight_id="UA-1", departs_at=datetime.now(UTC))  # type: ignore[arg-type]


async def ask(bus: Bus) -> None:
    board = await bus.query(GetDepartures(airport="EWR"))
    board.upper()  # type: ignore[attr-defined]


async def find(views: Views) -> None:
    await views.find_page(Departure, order_by="departs_at")  # type: ignore[call-arg]
    page = await views.find_page(Departure, limit=2, after="UA-1")  # type: ignore[arg-type]
    page.next.upper()  # type: ignore[union-attr]
    page.views.append(page.views[0])  # type: ignore[attr-defined]
    await views.find(Departure, departs_at=at_least(1) & one_of(2))  # type: ignore[operator]


def answer_at_once(query: GetDepartures, views: Views) -> list[Departure]:
    return []


async def answer_nobody(query: str, views: Views) -> list[Departure]:
    return []


cached(answer_at_once)  # type: ignore[arg-type]
cached(answer_nobody)  # type: ignore[type-var]


class Elsewhere(Event, tag="elsewhere"):
    """No event of a flight."""


class GoElsewhere(Command):
    """No command of a flight."""


class Other(View):
    """No view of departures."""


def test_kit(scheduled: FlightScheduled, schedule: ScheduleFlight) -> None:
    given(FLIGHT, Elsewhere())  # type: ignore[misc]
    given(DEPARTURES, scheduled)  # type: ignore[call-overload]
    given(FLIGHT).when(GoElsewhere())  # type: ignore[arg-type]
    given(FLIGHT).then(scheduled)  # type: ignore[attr-defined]
    given(FLIGHT).when(schedule).then(Elsewhere())  # type: ignore[arg-type]
    given(FLIGHT).when(schedule).then()  # type: ignore[call-arg]
    given(FLIGHT).when(schedule).then_rejected(NotScheduled())  # type: ignore[arg-type]
    given(FLIGHT).when(schedule).then_state(scheduled)  # type: ignore[arg-type]
    given(DEPARTURES).recorded("flight-UA-1", Elsewhere())  # type: ignore[arg-type]
    given(DEPARTURES).then_view("UA-1", Other())  # type: ignore[arg-type]
