"""Flights for the tests of the domain: one real flight and the commands of its life."""

from datetime import UTC, datetime, timedelta

from domain.flight import Airport, CancelFlight, DepartFlight, DivertFlight, FlightId, LandFlight, ScheduleFlight

ID = FlightId("UA-1545-2013-01-01-EWR")
DEPARTS_AT = datetime(2013, 1, 1, 10, 15, tzinfo=UTC)
ARRIVES_AT = datetime(2013, 1, 1, 14, 19, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def scheduling(
    *,
    carrier: str = "UA",
    number: int = 1545,
    origin: str = "EWR",
    destination: str = "IAH",
    aircraft: str | None = "N14228",
    departs_at: datetime = DEPARTS_AT,
    arrives_at: datetime = ARRIVES_AT,
) -> ScheduleFlight:
    return ScheduleFlight(
        flight_id=ID,
        carrier=carrier,
        number=number,
        origin=Airport(origin),
        destination=Airport(destination),
        aircraft=aircraft,
        departs_at=departs_at,
        arrives_at=arrives_at,
    )


SCHEDULE = scheduling()
DEPART = DepartFlight(flight_id=ID, at=DEPARTS_AT + 2 * MINUTE)
LAND = LandFlight(flight_id=ID, at=ARRIVES_AT + 11 * MINUTE)
DIVERT = DivertFlight(flight_id=ID, at=ARRIVES_AT)
CANCEL = CancelFlight(flight_id=ID, at=DEPARTS_AT)
