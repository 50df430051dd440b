"""The counts by status are those of the flights themselves, whatever happened to them."""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.flight import FLIGHT, Flight, FlightCommand, Status
from readmodels.statuses import CHANGES, STATUSES, CountByStatus, statuses
from tests.readmodels.histories import FoldedViews, cancelled, departed, diverted, folded, landed, recorded, scheduled

Life = tuple[Callable[[str], FlightCommand], ...]

LIVES: tuple[Life, ...] = (
    (scheduled,),
    (scheduled, departed),
    (scheduled, departed, landed),
    (scheduled, departed, diverted),
    (scheduled, cancelled),
)


def counts(commands: list[FlightCommand]) -> dict[Status, int]:
    return {view.status: view.flights for view in folded(STATUSES, recorded(commands)).values()}


def test_a_flight_is_counted_in_one_status_at_a_time() -> None:
    assert counts([scheduled("A")]) == {Status.SCHEDULED: 1}
    assert counts([scheduled("A"), departed("A")]) == {Status.SCHEDULED: 0, Status.DEPARTED: 1}
    assert counts([scheduled("A"), departed("A"), landed("A")]) == {
        Status.SCHEDULED: 0,
        Status.DEPARTED: 0,
        Status.LANDED: 1,
    }


def test_every_event_of_a_flight_changes_its_status() -> None:
    assert set(CHANGES) == set(FLIGHT.events)


@given(st.lists(st.sampled_from(LIVES), max_size=20), st.randoms(use_true_random=False))
def test_the_counts_are_those_of_the_flights(lives: list[Life], chance: Random) -> None:
    waiting = [[step(f"F{number}") for step in life] for number, life in enumerate(lives)]
    commands: list[FlightCommand] = []
    while any(waiting):
        commands.append(chance.choice([steps for steps in waiting if steps]).pop(0))
    flights: dict[str, Flight] = {}
    for event in recorded(commands):
        flights[event.stream_id] = FLIGHT.evolve(flights.get(event.stream_id, FLIGHT.initial), event.event)
    expected = Counter(flight.status for flight in flights.values())
    assert {status: count for status, count in counts(commands).items() if count} == expected


@pytest.mark.anyio
async def test_the_counts_come_by_status() -> None:
    views = FoldedViews(STATUSES, recorded([scheduled("A"), scheduled("B"), cancelled("B")]))
    found = await statuses(CountByStatus(), views)
    assert [(count.status, count.flights) for count in found] == [(Status.CANCELLED, 1), (Status.SCHEDULED, 1)]
