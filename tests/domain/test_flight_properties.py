"""What holds of a flight whatever is commanded, in whatever order and at whatever time."""

from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bus.core import Rejected
from domain.flight import (
    FLIGHT,
    CancelFlight,
    DepartFlight,
    DivertFlight,
    Flight,
    FlightCancelled,
    FlightCommand,
    FlightDeparted,
    FlightDiverted,
    FlightEvent,
    FlightLanded,
    FlightScheduled,
    LandFlight,
    Status,
    decide,
)
from tests.domain.flights import DEPARTS_AT, ID, MINUTE, SCHEDULE, scheduling

_times = st.integers(-3000, 3000).map(lambda minutes: DEPARTS_AT + minutes * MINUTE)
_commands: st.SearchStrategy[list[FlightCommand]] = st.lists(
    st.one_of(
        st.builds(
            lambda departs_at, arrives_at, destination: scheduling(
                departs_at=departs_at, arrives_at=arrives_at, destination=destination
            ),
            _times,
            _times,
            st.sampled_from(["IAH", "EWR"]),
        ),
        st.just(SCHEDULE),
        *(st.builds(kind, st.just(ID), _times) for kind in (DepartFlight, LandFlight, DivertFlight, CancelFlight)),
    ),
    max_size=30,
)


def play(commands: Sequence[FlightCommand]) -> tuple[Flight, list[FlightEvent]]:
    flight, events = FLIGHT.initial, list[FlightEvent]()
    for command in commands:
        try:
            decided = decide(command, flight)
        except Rejected:
            continue
        events += decided
        flight = FLIGHT.folded(flight, decided)
    return flight, events


LIVES = {
    Status.UNKNOWN: [],
    Status.SCHEDULED: [FlightScheduled],
    Status.DEPARTED: [FlightScheduled, FlightDeparted],
    Status.LANDED: [FlightScheduled, FlightDeparted, FlightLanded],
    Status.DIVERTED: [FlightScheduled, FlightDeparted, FlightDiverted],
    Status.CANCELLED: [FlightScheduled, FlightCancelled],
}


@given(_commands)
def test_whatever_is_commanded_a_flight_lives_one_of_six_lives(commands: list[FlightCommand]) -> None:
    flight, events = play(commands)
    assert [type(event) for event in events] == LIVES[flight.status]


@given(_commands)
def test_whatever_is_commanded_times_are_in_order(commands: list[FlightCommand]) -> None:
    _, events = play(commands)
    departed = [event for event in events if isinstance(event, FlightDeparted)]
    for event in events:
        if isinstance(event, FlightScheduled):
            assert event.departs_at < event.arrives_at
            assert event.origin != event.destination
        if isinstance(event, FlightDeparted):
            assert event.at == event.departs_at + event.delay
        if isinstance(event, FlightLanded | FlightDiverted):
            assert event.at > departed[0].at


@given(_commands)
def test_nothing_that_happened_to_a_flight_happens_again(commands: list[FlightCommand]) -> None:
    """An event changes the status for good, so that a second playing of the same commands cannot repeat it."""
    flight, events = play(commands)
    for command in commands:
        try:
            decided = decide(command, flight)
        except Rejected:
            continue
        assert not [event for event in decided if type(event) in {type(recorded) for recorded in events}]


@given(_commands)
def test_decide_answers_the_same_twice_and_changes_nothing(commands: list[FlightCommand]) -> None:
    flight, _ = play(commands[:-1])
    before = msgspec.json.encode(flight)
    for command in commands[-1:]:
        answers: list[object] = []
        for _ in range(2):
            try:
                answers.append(decide(command, flight))
            except Rejected as refused:
                answers.append((type(refused), str(refused), refused.facts))
        assert answers[0] == answers[1]
    assert msgspec.json.encode(flight) == before


@given(_commands)
def test_every_event_survives_its_encoding(commands: list[FlightCommand]) -> None:
    flight, events = play(commands)
    stored = [msgspec.json.decode(msgspec.json.encode(event), type=type(event)) for event in events]
    assert stored == events
    assert FLIGHT.folded(FLIGHT.initial, stored) == flight
