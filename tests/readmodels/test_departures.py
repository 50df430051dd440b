"""The departure board shows each flight as it stands."""

from datetime import timedelta

import pytest

from bus import Bus, ProjectionStopped
from bus.testing import given
from domain.flight import Airport, FlightCancelled, FlightCommand, Status
from readmodels.departures import DEPARTURES, Departure, GetDepartures
from tests.readmodels.histories import (
    ARRIVES_AT,
    DEPARTS_AT,
    after,
    cancelled,
    departed,
    diverted,
    landed,
    play,
    scheduled,
)


def board_line(*commands: FlightCommand) -> Departure:
    return after(DEPARTURES, [scheduled("A"), *commands]).views["A"]


def test_a_scheduled_flight_shows_its_plan() -> None:
    line = board_line()
    assert (line.flight_id, line.carrier, line.number, line.aircraft) == ("A", "UA", 1545, "N14228")
    assert (line.origin, line.destination, line.status) == ("EWR", "IAH", Status.SCHEDULED)
    assert (line.departs_at, line.arrives_at) == (DEPARTS_AT, ARRIVES_AT)
    assert (line.departed_at, line.delay, line.ended_at, line.arrival_delay) == (None, None, None, None)


def test_a_departed_flight_shows_when_and_how_late() -> None:
    line = board_line(departed("A", 7))
    assert (line.status, line.departed_at, line.delay) == (
        Status.DEPARTED,
        DEPARTS_AT + timedelta(minutes=7),
        timedelta(minutes=7),
    )


def test_a_landed_flight_shows_both_delays() -> None:
    line = board_line(departed("A", 7), landed("A", -3))
    assert (line.status, line.delay, line.arrival_delay) == (
        Status.LANDED,
        timedelta(minutes=7),
        timedelta(minutes=-3),
    )
    assert line.ended_at == ARRIVES_AT - timedelta(minutes=3)


def test_a_diverted_flight_has_no_arrival_delay() -> None:
    line = board_line(departed("A"), diverted("A"))
    assert (line.status, line.ended_at, line.arrival_delay) == (Status.DIVERTED, ARRIVES_AT, None)


def test_a_cancelled_flight_never_departed() -> None:
    line = board_line(cancelled("A"))
    assert (line.status, line.departed_at, line.delay) == (Status.CANCELLED, None, None)


def test_an_event_of_a_flight_that_is_not_scheduled_stops_the_projection() -> None:
    event = FlightCancelled("UA", Airport("EWR"), Airport("IAH"), None, DEPARTS_AT, DEPARTS_AT)
    with pytest.raises(ProjectionStopped, match="a flight is scheduled before anything else happens to it"):
        given(DEPARTURES).recorded("flight-A", event)


BOARD = (
    scheduled("late", departs_at=DEPARTS_AT + timedelta(hours=2)),
    scheduled("elsewhere", origin="JFK"),
    scheduled("first"),
    scheduled("second", departs_at=DEPARTS_AT + timedelta(hours=1)),
)


async def test_a_board_lists_the_flights_of_its_airport_by_departure(bus: Bus) -> None:
    await play(bus, *BOARD)
    board = await bus.query(GetDepartures(airport=Airport("EWR")))
    assert [line.flight_id for line in board] == ["first", "second", "late"]


async def test_a_board_ends_at_its_limit(bus: Bus) -> None:
    await play(bus, *BOARD)
    board = await bus.query(GetDepartures(airport=Airport("EWR"), limit=2))
    assert [line.flight_id for line in board] == ["first", "second"]


async def test_the_latest_of_a_board_come_in_order_of_departure_too(bus: Bus) -> None:
    await play(bus, *BOARD)
    board = await bus.query(GetDepartures(airport=Airport("EWR"), limit=2, latest=True))
    assert [line.flight_id for line in board] == ["second", "late"]


async def test_a_board_begins_at_a_moment_if_that_is_asked_for(bus: Bus) -> None:
    await play(bus, *BOARD)
    since = DEPARTS_AT + timedelta(hours=1)
    board = await bus.query(GetDepartures(airport=Airport("EWR"), since=since))
    assert [line.flight_id for line in board] == ["second", "late"]
    board = await bus.query(GetDepartures(airport=Airport("EWR"), since=since, limit=1, latest=True))
    assert [line.flight_id for line in board] == ["late"]
