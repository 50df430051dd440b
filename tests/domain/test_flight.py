"""The rules of a flight: a table of what is taken and refused in each status, and each rule by itself."""

from datetime import datetime, timedelta, timezone

import pytest

from bus.core import Rejected
from bus.testing import GivenDecider, given
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


def after(*commands: FlightCommand) -> GivenDecider[FlightCommand, Flight, FlightEvent]:
    """A flight with which all this happened, one event a command."""
    events: list[FlightEvent] = []
    for command in commands:
        events += given(FLIGHT, *events).when(command).events
    assert len(events) == len(commands)
    return given(FLIGHT, *events)


ON_SCHEDULE = after(SCHEDULE)
IN_THE_AIR = after(SCHEDULE, DEPART)


@pytest.mark.parametrize("status", HISTORIES)
@pytest.mark.parametrize(
    "command", [SCHEDULE, DEPART, LAND, DIVERT, CANCEL], ids=lambda command: type(command).__name__
)
def test_each_status_takes_and_refuses_what_the_table_says(status: Status, command: FlightCommand) -> None:
    decided = after(*HISTORIES[status]).when(command)
    expected = RULES[status][type(command)]
    if issubclass(expected, Rejected):
        decided.then_rejected(expected, flight_id=ID)
        assert ID in str(decided.rejection)
    else:
        assert [type(event) for event in decided.events] == [expected]


@pytest.mark.parametrize("status", HISTORIES)
def test_the_history_of_each_status_leads_to_it(status: Status) -> None:
    assert after(*HISTORIES[status]).state.status is status


def test_every_event_carries_what_projections_need() -> None:
    for history in HISTORIES.values():
        for event in after(*history).history:
            assert (event.carrier, event.origin, event.destination) == ("UA", "EWR", "IAH")
            assert (event.aircraft, event.departs_at) == ("N14228", DEPARTS_AT)


UA_1545 = ("UA", Airport("EWR"), Airport("IAH"), "N14228", DEPARTS_AT)
"""What every event of this flight carries."""


def test_the_schedule_is_recorded_as_commanded() -> None:
    given(FLIGHT).when(SCHEDULE).then(FlightScheduled(*UA_1545, 1545, ARRIVES_AT))


def test_a_departure_is_late_against_its_scheduled_departure() -> None:
    ON_SCHEDULE.when(DEPART).then(FlightDeparted(*UA_1545, DEPARTS_AT + 2 * MINUTE, 2 * MINUTE))


def test_a_landing_is_late_against_its_scheduled_arrival() -> None:
    IN_THE_AIR.when(LAND).then(FlightLanded(*UA_1545, ARRIVES_AT + 11 * MINUTE, 11 * MINUTE))


@pytest.mark.parametrize("minutes", [-43, 1301])
def test_leaving_minutes_early_and_a_day_late_are_normal(minutes: int) -> None:
    at = DEPARTS_AT + minutes * MINUTE
    ON_SCHEDULE.when(DepartFlight(flight_id=ID, at=at)).then(FlightDeparted(*UA_1545, at, minutes * MINUTE))


def test_a_departure_a_day_before_the_schedule_is_the_last_that_is_taken() -> None:
    last = DEPARTS_AT - timedelta(hours=24)
    ON_SCHEDULE.when(DepartFlight(flight_id=ID, at=last)).then(FlightDeparted(*UA_1545, last, -timedelta(hours=24)))
    too_early = DepartFlight(flight_id=ID, at=last - timedelta(seconds=1))
    ON_SCHEDULE.when(too_early).then_rejected(DepartsTooEarly, departs_at=DEPARTS_AT)


@pytest.mark.parametrize("kind", [LandFlight, DivertFlight])
@pytest.mark.parametrize("at", [DEPART.at, DEPART.at - MINUTE])
def test_a_flight_ends_after_its_departure(kind: type[LandFlight | DivertFlight], at: datetime) -> None:
    IN_THE_AIR.when(kind(flight_id=ID, at=at)).then_rejected(NotAfterDeparture, departed_at=DEPART.at)


@pytest.mark.parametrize("at", [DEPARTS_AT - timedelta(days=3), DEPARTS_AT + timedelta(hours=5)])
def test_a_flight_may_be_cancelled_before_and_after_its_scheduled_departure(at: datetime) -> None:
    ON_SCHEDULE.when(CancelFlight(flight_id=ID, at=at)).then(FlightCancelled(*UA_1545, at))


@pytest.mark.parametrize("arrives_at", [DEPARTS_AT, DEPARTS_AT - MINUTE])
def test_a_schedule_that_arrives_before_it_departs_is_refused(arrives_at: datetime) -> None:
    given(FLIGHT).when(scheduling(arrives_at=arrives_at)).then_rejected(ArrivesBeforeDeparture, arrives_at=arrives_at)


def test_a_flight_across_zones_may_land_at_an_earlier_local_time_than_it_left() -> None:
    west = timezone(timedelta(hours=-10))
    departs_at = datetime(2013, 1, 1, 9, 0, tzinfo=timezone(timedelta(hours=-5)))
    arrives_at = datetime(2013, 1, 1, 8, 30, tzinfo=west)
    (event,) = given(FLIGHT).when(scheduling(departs_at=departs_at, arrives_at=arrives_at)).events
    assert isinstance(event, FlightScheduled)
    assert (event.departs_at, event.arrives_at) == (departs_at, arrives_at)


def test_a_flight_to_where_it_starts_is_refused() -> None:
    given(FLIGHT).when(scheduling(destination="EWR")).then_rejected(SameAirport, airport="EWR")


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
    refused = given(FLIGHT).when(command).then_rejected(NotADesignator)
    assert len(str(refused.rejection)) < 200


@pytest.mark.parametrize("aircraft", ["N14228", "G-ABCD", "D942DN", None])
def test_tail_numbers_of_all_countries_are_taken_and_none_at_all(aircraft: str | None) -> None:
    (event,) = given(FLIGHT).when(scheduling(aircraft=aircraft)).events
    assert event.aircraft == aircraft


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
    after(*history).when(command).then_rejected(TimeWithoutZone, flight_id=ID)


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
