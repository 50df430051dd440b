"""The rules of a flight: a table of what is taken and refused in each status, and properties over all histories."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.core import Rejected
from domain.flight import (
    FLIGHT,
    Airport,
    AlreadyCancelled,
    AlreadyDeparted,
    AlreadyDiverted,
    AlreadyLanded,
    AlreadyScheduled,
    ArrivesBeforeDeparture,
    CancelFlight,
    DepartFlight,
    DepartsTooEarly,
    DivertFlight,
    Flight,
    FlightCancelled,
    FlightCommand,
    FlightDeparted,
    FlightDiverted,
    FlightEvent,
    FlightId,
    FlightLanded,
    FlightScheduled,
    LandFlight,
    NotADesignator,
    NotAfterDeparture,
    NotDeparted,
    NotScheduled,
    SameAirport,
    ScheduleFlight,
    Status,
    TimeWithoutZone,
    decide,
    evolve,
)

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

HISTORIES: dict[Status, tuple[FlightCommand, ...]] = {
    Status.UNKNOWN: (),
    Status.SCHEDULED: (SCHEDULE,),
    Status.DEPARTED: (SCHEDULE, DEPART),
    Status.LANDED: (SCHEDULE, DEPART, LAND),
    Status.DIVERTED: (SCHEDULE, DEPART, DIVERT),
    Status.CANCELLED: (SCHEDULE, CANCEL),
}

RULES: dict[Status, dict[type[FlightCommand], type[FlightEvent] | type[Rejected]]] = {
    Status.UNKNOWN: {
        ScheduleFlight: FlightScheduled,
        DepartFlight: NotScheduled,
        LandFlight: NotScheduled,
        DivertFlight: NotScheduled,
        CancelFlight: NotScheduled,
    },
    Status.SCHEDULED: {
        ScheduleFlight: AlreadyScheduled,
        DepartFlight: FlightDeparted,
        LandFlight: NotDeparted,
        DivertFlight: NotDeparted,
        CancelFlight: FlightCancelled,
    },
    Status.DEPARTED: {
        ScheduleFlight: AlreadyScheduled,
        DepartFlight: AlreadyDeparted,
        LandFlight: FlightLanded,
        DivertFlight: FlightDiverted,
        CancelFlight: AlreadyDeparted,
    },
    Status.LANDED: {
        ScheduleFlight: AlreadyScheduled,
        DepartFlight: AlreadyDeparted,
        LandFlight: AlreadyLanded,
        DivertFlight: AlreadyLanded,
        CancelFlight: AlreadyDeparted,
    },
    Status.DIVERTED: {
        ScheduleFlight: AlreadyScheduled,
        DepartFlight: AlreadyDeparted,
        LandFlight: AlreadyDiverted,
        DivertFlight: AlreadyDiverted,
        CancelFlight: AlreadyDeparted,
    },
    Status.CANCELLED: {
        ScheduleFlight: AlreadyScheduled,
        DepartFlight: AlreadyCancelled,
        LandFlight: AlreadyCancelled,
        DivertFlight: AlreadyCancelled,
        CancelFlight: AlreadyCancelled,
    },
}


def after(commands: Sequence[FlightCommand]) -> Flight:
    flight = FLIGHT.initial
    for command in commands:
        flight = FLIGHT.folded(flight, decide(command, flight))
    return flight


@pytest.mark.parametrize("status", HISTORIES)
@pytest.mark.parametrize(
    "command", [SCHEDULE, DEPART, LAND, DIVERT, CANCEL], ids=lambda command: type(command).__name__
)
def test_each_status_takes_and_refuses_what_the_table_says(status: Status, command: FlightCommand) -> None:
    flight = after(HISTORIES[status])
    expected = RULES[status][type(command)]
    if issubclass(expected, Rejected):
        with pytest.raises(expected) as refused:
            decide(command, flight)
        assert type(refused.value) is expected
        assert refused.value.facts["flight_id"] == ID
        assert ID in str(refused.value)
    else:
        assert [type(event) for event in decide(command, flight)] == [expected]


@pytest.mark.parametrize("status", HISTORIES)
def test_the_history_of_each_status_leads_to_it(status: Status) -> None:
    assert after(HISTORIES[status]).status is status


def test_every_event_carries_what_projections_need() -> None:
    for history in HISTORIES.values():
        flight = FLIGHT.initial
        for command in history:
            (event,) = decide(command, flight)
            flight = evolve(flight, event)
            assert (event.carrier, event.origin, event.destination) == ("UA", "EWR", "IAH")
            assert (event.aircraft, event.departs_at) == ("N14228", DEPARTS_AT)


def test_the_schedule_is_recorded_as_commanded() -> None:
    assert decide(SCHEDULE, Flight()) == (
        FlightScheduled("UA", Airport("EWR"), Airport("IAH"), "N14228", DEPARTS_AT, 1545, ARRIVES_AT),
    )


def test_a_departure_is_late_against_its_scheduled_departure() -> None:
    (event,) = decide(DEPART, after([SCHEDULE]))
    assert isinstance(event, FlightDeparted)
    assert (event.at, event.delay) == (DEPARTS_AT + 2 * MINUTE, 2 * MINUTE)


def test_a_landing_is_late_against_its_scheduled_arrival() -> None:
    (event,) = decide(LAND, after([SCHEDULE, DEPART]))
    assert isinstance(event, FlightLanded)
    assert (event.at, event.delay) == (ARRIVES_AT + 11 * MINUTE, 11 * MINUTE)


def test_an_early_departure_is_normal_and_its_delay_negative() -> None:
    (event,) = decide(DepartFlight(flight_id=ID, at=DEPARTS_AT - 43 * MINUTE), after([SCHEDULE]))
    assert isinstance(event, FlightDeparted)
    assert event.delay == -43 * MINUTE


def test_a_departure_a_day_late_is_taken() -> None:
    (event,) = decide(DepartFlight(flight_id=ID, at=DEPARTS_AT + 1301 * MINUTE), after([SCHEDULE]))
    assert isinstance(event, FlightDeparted)


def test_a_departure_a_day_before_the_schedule_is_the_last_that_is_taken() -> None:
    decide(DepartFlight(flight_id=ID, at=DEPARTS_AT - timedelta(hours=24)), after([SCHEDULE]))
    with pytest.raises(DepartsTooEarly) as refused:
        decide(DepartFlight(flight_id=ID, at=DEPARTS_AT - timedelta(hours=24, seconds=1)), after([SCHEDULE]))
    assert refused.value.facts["departs_at"] == DEPARTS_AT


@pytest.mark.parametrize("kind", [LandFlight, DivertFlight])
@pytest.mark.parametrize("at", [DEPART.at, DEPART.at - MINUTE])
def test_a_flight_ends_after_its_departure(kind: type[LandFlight | DivertFlight], at: datetime) -> None:
    with pytest.raises(NotAfterDeparture) as refused:
        decide(kind(flight_id=ID, at=at), after([SCHEDULE, DEPART]))
    assert refused.value.facts["departed_at"] == DEPART.at


def test_a_flight_may_be_cancelled_before_and_after_its_scheduled_departure() -> None:
    for at in (DEPARTS_AT - timedelta(days=3), DEPARTS_AT + timedelta(hours=5)):
        assert [type(event) for event in decide(CancelFlight(flight_id=ID, at=at), after([SCHEDULE]))] == [
            FlightCancelled
        ]


@pytest.mark.parametrize("arrives_at", [DEPARTS_AT, DEPARTS_AT - MINUTE])
def test_a_schedule_that_arrives_before_it_departs_is_refused(arrives_at: datetime) -> None:
    with pytest.raises(ArrivesBeforeDeparture):
        decide(scheduling(arrives_at=arrives_at), Flight())


def test_a_flight_across_zones_may_land_at_an_earlier_local_time_than_it_left() -> None:
    west = timezone(timedelta(hours=-10))
    departs_at = datetime(2013, 1, 1, 9, 0, tzinfo=timezone(timedelta(hours=-5)))
    decide(scheduling(departs_at=departs_at, arrives_at=datetime(2013, 1, 1, 8, 30, tzinfo=west)), Flight())


def test_a_flight_to_where_it_starts_is_refused() -> None:
    with pytest.raises(SameAirport):
        decide(scheduling(destination="EWR"), Flight())


@pytest.mark.parametrize(
    "command",
    [
        scheduling(carrier=""),
        scheduling(carrier="United"),
        scheduling(number=-1),
        scheduling(number=10**30),
        scheduling(origin="EWR-2"),
        scheduling(destination="\udc80AH"),
        scheduling(aircraft=""),
        scheduling(aircraft="N" * 300),
        scheduling(aircraft="N1/2"),
    ],
)
def test_a_flight_with_a_name_that_is_none_is_refused(command: ScheduleFlight) -> None:
    with pytest.raises(NotADesignator) as refused:
        decide(command, Flight())
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("aircraft", ["N14228", "G-ABCD", "D942DN"])
def test_tail_numbers_of_all_countries_are_taken(aircraft: str) -> None:
    (event,) = decide(scheduling(aircraft=aircraft), Flight())
    assert event.aircraft == aircraft


def test_a_flight_without_an_aircraft_is_taken() -> None:
    (event,) = decide(scheduling(aircraft=None), Flight())
    assert event.aircraft is None


NAIVE = datetime(2013, 1, 1, 10, 15)  # It is the mistake that is tested.


@pytest.mark.parametrize(
    ("history", "command"),
    [
        ((), scheduling(departs_at=NAIVE)),
        ((), scheduling(arrives_at=NAIVE)),
        ((SCHEDULE,), DepartFlight(flight_id=ID, at=NAIVE)),
        ((SCHEDULE,), CancelFlight(flight_id=ID, at=NAIVE)),
        ((SCHEDULE, DEPART), LandFlight(flight_id=ID, at=NAIVE)),
        ((SCHEDULE, DEPART), DivertFlight(flight_id=ID, at=NAIVE)),
    ],
)
def test_a_time_without_a_zone_is_refused(history: tuple[FlightCommand, ...], command: FlightCommand) -> None:
    with pytest.raises(TimeWithoutZone):
        decide(command, after(history))


def test_stored_names_are_the_ones_promised() -> None:
    assert [event.__struct_config__.tag for event in FLIGHT.events] == [
        "flight-scheduled",
        "flight-departed",
        "flight-landed",
        "flight-diverted",
        "flight-cancelled",
    ]


def test_a_command_goes_to_the_flight_that_it_names() -> None:
    assert {FLIGHT.identify(command) for command in (SCHEDULE, DEPART, LAND, DIVERT, CANCEL)} == {ID}


# Properties over any history


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
