"""Statuses: how many flights there are in each status."""

from collections.abc import Mapping

from bus.core import STOP, Projection, Query, Recorded, View, Views
from domain.flight import (
    FlightCancelled,
    FlightDeparted,
    FlightDiverted,
    FlightEvent,
    FlightLanded,
    FlightScheduled,
    Status,
)


class StatusCount(View):
    """The flights in one status."""

    status: Status
    flights: int


CHANGES: Mapping[type[FlightEvent], tuple[str, ...]] = {
    FlightScheduled: (Status.SCHEDULED.value,),
    FlightDeparted: (Status.SCHEDULED.value, Status.DEPARTED.value),
    FlightLanded: (Status.DEPARTED.value, Status.LANDED.value),
    FlightDiverted: (Status.DEPARTED.value, Status.DIVERTED.value),
    FlightCancelled: (Status.SCHEDULED.value, Status.CANCELLED.value),
}
"""The status that a flight leaves, if any, and last the one that it enters.

The rules of the flight leave one way into each event, so that the event alone tells where the flight was.
"""


def project(view: StatusCount | None, recorded: Recorded[FlightEvent], key: str) -> StatusCount:
    """The count of one status after an event by which a flight entered or left it."""
    entered = CHANGES[type(recorded.event)][-1] == key
    if view is None:
        assert entered, "a flight leaves the status that it entered before"
        return StatusCount(Status(key), 1)
    return StatusCount(view.status, view.flights + 1 if entered else view.flights - 1)


def _statuses(recorded: Recorded[FlightEvent]) -> tuple[str, ...]:
    return CHANGES[type(recorded.event)]


STATUSES = Projection(
    name="statuses",
    version=1,
    view=StatusCount,
    project=project,
    key=_statuses,
    indexes=("status",),
    on_poison=STOP,
)


class CountByStatus(Query[list[StatusCount]]):
    """How many flights there are in each status; one that no flight ever had is left out."""


async def statuses(query: CountByStatus, views: Views) -> list[StatusCount]:
    """Answers `CountByStatus`, by status."""
    return await views.find(StatusCount, order_by="status")
