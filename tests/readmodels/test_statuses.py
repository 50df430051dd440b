"""The counts by status are those of the flights themselves, whatever happened to them."""

from collections import Counter
from collections.abc import Callable
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from bus import Bus
from domain.flight import FLIGHT, Flight, FlightCommand, Status
from readmodels.statuses import CHANGES, STATUSES, CountByStatus
from tests.readmodels.histories import after, cancelled, departed, diverted, landed, play, scheduled

Life = tuple[Callable[[str], FlightCommand], ...]

LIVES: tuple[Life, ...] = (
    (scheduled,),
    (scheduled, departed),
    (scheduled, departed, landed),
    (scheduled, departed, diverted),
    (scheduled, cancelled),
)


def counts(commands: list[FlightCommand]) -> dict[Status, int]:
    return {view.status: view.flights for view in after(STATUSES, commands).views.values()}


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
    states: dict[str, Flight] = {}
    for command in commands:
        flight = states.get(command.flight_id, FLIGHT.initial)
        states[command.flight_id] = FLIGHT.folded(flight, FLIGHT.decide(command, flight))
    expected = Counter(flight.status for flight in states.values())
    assert {status: count for status, count in counts(commands).items() if count} == expected


async def test_the_counts_come_by_status(bus: Bus) -> None:
    await play(bus, scheduled("A"), scheduled("B"), cancelled("B"))
    found = await bus.query(CountByStatus())
    assert [(count.status, count.flights) for count in found] == [(Status.CANCELLED, 1), (Status.SCHEDULED, 1)]
