"""Statuses: how many flights there are in each status."""

from typing import assert_never

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


def project(view: StatusCount | None, recorded: Recorded[FlightEvent], key: str) -> StatusCount:
    """The count of one status after an event by which a flight entered or left it."""
    status = Status(key)
    before = 0 if view is None else view.flights
    entered = change(recorded.event)[-1] == key
    return StatusCount(status, before + 1 if entered else before - 1)


def change(event: FlightEvent) -> tuple[Status, ...]:
    """The status that a flight leaves, if any, and the one that it enters.

    The rules of the flight leave one way into each event, so that the event alone tells where the flight was.
    """
    match event:
        case FlightScheduled():
            return (Status.SCHEDULED,)
        case FlightDeparted():
            return Status.SCHEDULED, Status.DEPARTED
        case FlightLanded():
            return Status.DEPARTED, Status.LANDED
        case FlightDiverted():
            return Status.DEPARTED, Status.DIVERTED
        case FlightCancelled():
            return Status.SCHEDULED, Status.CANCELLED
        case _:
            assert_never(event)


def _statuses(recorded: Recorded[FlightEvent]) -> tuple[str, ...]:
    return tuple([status.value for status in change(recorded.event)])


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
