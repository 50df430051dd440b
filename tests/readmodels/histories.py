"""Histories for read models: commands of flights, and what the domain decides on them given to a projection."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from bus import Bus, Projection, Receipt, View
from bus.testing import GivenProjection, given
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


def after(projection: Projection[V, Any], commands: Iterable[FlightCommand]) -> GivenProjection[V, Any]:
    """The projection after the events that the domain decides on these commands."""
    histories: dict[str, tuple[FlightEvent, ...]] = {}
    views = given(projection)
    for command in commands:
        flight_id = command.flight_id
        decided = given(FLIGHT, *histories.get(flight_id, ())).when(command)
        assert decided.rejection is None
        histories[flight_id] = decided.history
        for event in decided.events:
            if isinstance(event, projection.events):
                views = views.recorded(f"flight-{flight_id}", event)
    return views


async def play(bus: Bus, *commands: FlightCommand) -> None:
    """Sends commands, each of which is taken, and waits until the views show them."""
    outcomes = await bus.send_many(commands)
    assert [type(outcome) for outcome in outcomes] == [Receipt] * len(commands)
    await bus.wait_settled()
