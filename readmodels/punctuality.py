"""Punctuality: how late the flights of a carrier, or on a route, arrive."""

import enum
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, assert_never

from msgspec.structs import replace

from bus.core import STOP, Message, Projection, Query, Recorded, View, Views
from domain.flight import FlightCancelled, FlightDiverted, FlightLanded, FlightScheduled

DELAY_MINUTES_MAX: Final = 24 * 60
"""Delays beyond a day, either way, are counted as a day: it bounds the histogram, and no percentile that matters."""

_MINUTE = timedelta(minutes=1)


class Scope(enum.StrEnum):
    """What the flights of one view have in common."""

    CARRIER = "carrier"
    ROUTE = "route"


class Punctuality(View):
    """The flights of one carrier or route, counted."""

    scope: Scope
    name: str
    """`UA`, or `EWR-IAH`."""
    flights: int = 0
    """All that were scheduled."""
    cancelled: int = 0
    diverted: int = 0
    landed: int = 0
    delay_minutes: int = 0
    """Sum over the landed flights; whole minutes, negative for early arrivals."""
    histogram: Mapping[int, int] = {}  # msgspec copies the default for each struct
    """Landed flights by minutes of arrival delay; it gives every percentile without keeping the flights."""


Counted = FlightScheduled | FlightLanded | FlightDiverted | FlightCancelled
"""The events that matter here: a delay counts at the arrival, as the industry's statistics do."""


def project(view: Punctuality | None, recorded: Recorded[Counted], key: str) -> Punctuality:
    """The counts of a carrier or route after an event of one of its flights."""
    if view is None:
        scope, _, name = key.partition("/")
        view = Punctuality(scope=Scope(scope), name=name)
    event = recorded.event
    match event:
        case FlightScheduled():
            return replace(view, flights=view.flights + 1)
        case FlightLanded():
            minutes = delay_minutes(event.delay)
            return replace(
                view,
                landed=view.landed + 1,
                delay_minutes=view.delay_minutes + minutes,
                histogram={**view.histogram, minutes: view.histogram.get(minutes, 0) + 1},
            )
        case FlightDiverted():
            return replace(view, diverted=view.diverted + 1)
        case FlightCancelled():
            return replace(view, cancelled=view.cancelled + 1)
        case _:
            assert_never(event)


def delay_minutes(delay: timedelta) -> int:
    """A delay in whole minutes that are over, within a day either way: 14:59 late is 14, 0:01 early is -1."""
    return max(-DELAY_MINUTES_MAX, min(DELAY_MINUTES_MAX, delay // _MINUTE))


def _carrier_and_route(recorded: Recorded[Counted]) -> tuple[str, str]:
    event = recorded.event
    return f"carrier/{event.carrier}", f"route/{event.origin}-{event.destination}"


PUNCTUALITY = Projection(
    name="punctuality",
    version=1,
    view=Punctuality,
    project=project,
    key=_carrier_and_route,
    indexes=("scope", "name"),
    on_poison=STOP,
)


class PunctualityFigures(Message):
    """One line of the punctuality table; delays are minutes, None where nothing has landed."""

    name: str
    flights: int
    cancelled: int
    diverted: int
    landed: int
    mean_delay: float | None
    percentile_90_delay: int | None


class GetPunctuality(Query[list[PunctualityFigures]]):
    """The punctuality of all carriers, or of all routes, by name."""

    by: Scope
    limit: int = 1_000


async def punctuality(query: GetPunctuality, views: Views) -> list[PunctualityFigures]:
    """Answers `GetPunctuality`."""
    found = await views.find(Punctuality, scope=query.by, order_by="name", limit=query.limit)
    return [figures(view) for view in found]


def figures(view: Punctuality) -> PunctualityFigures:
    """Mean and 90th percentile of what the view has counted."""
    return PunctualityFigures(
        name=view.name,
        flights=view.flights,
        cancelled=view.cancelled,
        diverted=view.diverted,
        landed=view.landed,
        mean_delay=view.delay_minutes / view.landed if view.landed else None,
        percentile_90_delay=nearest_rank(view.histogram, 90) if view.landed else None,
    )


def nearest_rank(histogram: Mapping[int, int], percent: int) -> int:
    """The smallest value that at least `percent` of a hundred of the counted values do not exceed."""
    count = sum(histogram.values())
    rank = max(1, -(-count * percent // 100))
    for value in sorted(histogram):
        rank -= histogram[value]
        if rank <= 0:
            return value
    raise ValueError("an empty histogram has no percentiles")
