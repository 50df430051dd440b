"""Mistakes that both strict type checkers must find.

Each stands on a line whose comment expects an error; a checker that finds none there reports the comment instead.
"""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from collections.abc import Sequence
from datetime import UTC, datetime

from bus import Bus
from bus.core import Recorded, Removed
from tests.architecture.typing.user_code import (
    Departure,
    Flight,
    FlightCommand,
    FlightEvent,
    FlightId,
    FlightScheduled,
    GetDepartures,
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
