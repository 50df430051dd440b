"""Playing: the commands of many flights, in the order in which things happened."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, assert_never

import msgspec

from adapters.flights.records import FlightRecord, Outcome
from domain.flight import CancelFlight, DepartFlight, DivertFlight, FlightCommand, LandFlight, ScheduleFlight

PUBLISHED_BEFORE: Final = timedelta(hours=24)
"""Each flight is put on the schedule a day before its departure. The records do not say when it really was; no flight
departs earlier than that."""


class Played(msgspec.Struct, frozen=True):
    """A command and its id, which is made from the row: whoever plays it again sends the same."""

    command_id: str
    command: FlightCommand
    at: datetime
    """When it happened; UTC."""


def commands(flights: Iterable[FlightRecord]) -> Iterator[Played]:
    """What happened to the flights, in time order, not flight by flight.

    What happened in the same minute comes in the order of the list below, then by flight id: the order of the rows
    does not matter. Sorting takes about 200 bytes a command.
    """
    moments: list[tuple[datetime, int, str, FlightRecord]] = []
    for flight in flights:
        moments.append((flight.departs_at - PUBLISHED_BEFORE, 0, flight.flight_id, flight))
        match flight.outcome:
            case Outcome.CANCELLED:
                moments.append((flight.ended_at, 1, flight.flight_id, flight))
            case Outcome.DIVERTED:
                moments.append((flight.departed_at, 2, flight.flight_id, flight))
                moments.append((flight.ended_at, 3, flight.flight_id, flight))
            case Outcome.LANDED:
                moments.append((flight.departed_at, 2, flight.flight_id, flight))
                moments.append((flight.ended_at, 4, flight.flight_id, flight))
            case _:
                assert_never(flight.outcome)
    # A flight has each kind once, so that two records are never compared.
    moments.sort()
    return (Played(*_MAKE[kind](flight), at) for at, kind, _, flight in moments)


def _schedule(flight: FlightRecord) -> tuple[str, FlightCommand]:
    command = ScheduleFlight(
        flight_id=flight.flight_id,
        carrier=flight.carrier,
        number=flight.number,
        origin=flight.origin,
        destination=flight.destination,
        aircraft=flight.aircraft,
        departs_at=flight.departs_at,
        arrives_at=flight.arrives_at,
    )
    return f"{flight.key}/schedule", command


def _cancel(flight: FlightRecord) -> tuple[str, FlightCommand]:
    return f"{flight.key}/cancel", CancelFlight(flight_id=flight.flight_id, at=flight.ended_at)


def _depart(flight: FlightRecord) -> tuple[str, FlightCommand]:
    return f"{flight.key}/depart", DepartFlight(flight_id=flight.flight_id, at=flight.departed_at)


def _divert(flight: FlightRecord) -> tuple[str, FlightCommand]:
    return f"{flight.key}/divert", DivertFlight(flight_id=flight.flight_id, at=flight.ended_at)


def _land(flight: FlightRecord) -> tuple[str, FlightCommand]:
    return f"{flight.key}/land", LandFlight(flight_id=flight.flight_id, at=flight.ended_at)


_MAKE = (_schedule, _cancel, _depart, _divert, _land)
