"""The rules of a flight: a table of what is taken and refused in each status, and each rule by itself."""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import pytest

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
from tests.domain.flights import ARRIVES_AT, CANCEL, DEPART, DEPARTS_AT, DIVERT, ID, LAND, MINUTE, SCHEDULE, scheduling

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
