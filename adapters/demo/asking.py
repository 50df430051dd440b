"""Asking: what the read models say at the end of a run."""

from collections import Counter
from typing import Final

import msgspec

from adapters.flights import FlightRecords
from bus import Bus, ProjectionTimeout
from domain.flight import Airport
from readmodels.aircraft_day import AircraftDay, GetAircraftDay, day_of
from readmodels.departures import Departure, GetDepartures
from readmodels.punctuality import GetPunctuality, PunctualityFigures, Scope
from readmodels.statuses import CountByStatus

BOARD_LINES: Final = 8
ROUTES_SHOWN: Final = 10


class Shown(msgspec.Struct, frozen=True):
    """What the read models say at the end of a run."""

    boards: dict[str, list[Departure]]
    carriers: list[PunctualityFigures]
    routes: list[PunctualityFigures]
    day: AircraftDay | None
    by_status: dict[str, int]


async def caught_up(bus: Bus, position: int) -> None:
    """Waits for the read models as long as they move; a million events may take longer than one wait of the bus.

    Raises `ProjectionTimeout` for one that does not move, and `ProjectionStopped`.
    """
    seen: tuple[str, int] | None = None
    while True:
        try:
            return await bus.wait_projected(position)
        except ProjectionTimeout as late:
            if seen == (late.projection, late.at):
                raise
            seen = (late.projection, late.at)


async def ask(bus: Bus, records: FlightRecords, position: int) -> Shown:
    """What the read models say of the busiest airports and routes, all carriers, and the busiest aircraft."""
    busiest = Counter(flight.origin for flight in records.flights).most_common(3)
    boards = {
        str(airport): await bus.query(
            GetDepartures(airport=Airport(airport), limit=BOARD_LINES, latest=True), after=position
        )
        for airport, _ in sorted(busiest)
    }
    days = Counter(
        (flight.aircraft, day_of(flight.departs_at)) for flight in records.flights if flight.aircraft is not None
    )
    day = None
    for (aircraft, date), _ in days.most_common(1):
        day = await bus.query(GetAircraftDay(aircraft=aircraft, day=date), after=position)
    routes = await bus.query(GetPunctuality(by=Scope.ROUTE), after=position)
    counts = await bus.query(CountByStatus(), after=position)
    return Shown(
        boards=boards,
        carriers=await bus.query(GetPunctuality(by=Scope.CARRIER), after=position),
        routes=sorted(routes, key=lambda line: (-line.flights, line.name))[:ROUTES_SHOWN],
        day=day,
        by_status={count.status.value: count.flights for count in counts if count.flights},
    )
