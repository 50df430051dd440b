"""Traffic: the demo's domain and read models as one application."""

from bus import Application, Projection
from domain.flight import FLIGHT, FlightEvent
from readmodels.aircraft_day import AIRCRAFT_DAYS, aircraft_day
from readmodels.departures import DEPARTURES, Departure, departures
from readmodels.punctuality import PUNCTUALITY, punctuality
from readmodels.statuses import STATUSES, statuses


def traffic(boards: Projection[Departure, FlightEvent] = DEPARTURES) -> Application:
    """The demo's application, with another projection in the place of the departure boards' if wanted."""
    return Application(
        deciders=[FLIGHT],
        projections=[boards, PUNCTUALITY, AIRCRAFT_DAYS, STATUSES],
        query_handlers=[departures, punctuality, aircraft_day, statuses],
    )


TRAFFIC = traffic()
"""The demo as one value."""
