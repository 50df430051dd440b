"""An aircraft's day lists its flights in order."""

from datetime import UTC, date, datetime, timedelta

import pytest

from bus import Bus
from domain.flight import FlightCommand, Status
from readmodels.aircraft_day import (
    AIRCRAFT_DAYS,
    LEGS_MAX,
    AircraftDay,
    GetAircraftDay,
    day_of,
)
from tests.readmodels.histories import (
    ARRIVES_AT,
    DEPARTS_AT,
    after,
    cancelled,
    departed,
    diverted,
    landed,
    play,
    scheduled,
)

KEY = "N14228/2013-01-01"


def day(*commands: FlightCommand) -> AircraftDay:
    return after(AIRCRAFT_DAYS, commands).views[KEY]


def test_legs_come_by_departure_in_whatever_order_they_were_scheduled() -> None:
    hour = timedelta(hours=1)
    view = day(
        scheduled("A", departs_at=DEPARTS_AT + 8 * hour),
        scheduled("C"),
        scheduled("B", departs_at=DEPARTS_AT + 4 * hour),
    )
    assert (view.aircraft, view.day) == ("N14228", date(2013, 1, 1))
    assert [leg.flight_id for leg in view.legs] == ["C", "B", "A"]


def test_a_leg_shows_how_its_flight_stands() -> None:
    view = day(
        *(scheduled(name) for name in ("cancelled", "departed", "diverted", "landed", "scheduled")),
        cancelled("cancelled"),
        *(departed(name, 5) for name in ("departed", "diverted", "landed")),
        diverted("diverted"),
        landed("landed", 9),
    )
    assert {leg.flight_id: leg.status.value for leg in view.legs} == {leg.flight_id: leg.flight_id for leg in view.legs}
    by_status = {leg.status: leg for leg in view.legs}
    assert by_status[Status.SCHEDULED].departed_at is None
    assert by_status[Status.DEPARTED].departed_at == DEPARTS_AT + timedelta(minutes=5)
    assert by_status[Status.DEPARTED].ended_at is None
    assert by_status[Status.LANDED].ended_at == ARRIVES_AT + timedelta(minutes=9)
    assert by_status[Status.DIVERTED].ended_at == ARRIVES_AT
    assert (by_status[Status.CANCELLED].departed_at, by_status[Status.CANCELLED].ended_at) == (None, DEPARTS_AT)


def test_a_flight_without_an_aircraft_is_on_no_aircrafts_day() -> None:
    after(AIRCRAFT_DAYS, [scheduled("A", aircraft=None), departed("A"), landed("A")]).then_views({})


def test_aircraft_and_days_are_kept_apart() -> None:
    tomorrow = DEPARTS_AT + timedelta(days=1)
    views = after(
        AIRCRAFT_DAYS, [scheduled("A"), scheduled("B", aircraft="N1"), scheduled("C", departs_at=tomorrow)]
    ).views
    assert set(views) == {KEY, "N1/2013-01-01", "N14228/2013-01-02"}


@pytest.mark.parametrize(
    ("departs_at", "expected"),
    [
        (datetime(2013, 1, 1, 9, 0, tzinfo=UTC), date(2013, 1, 1)),
        (datetime(2013, 1, 2, 4, 59, tzinfo=UTC), date(2013, 1, 1)),
        (datetime(2013, 1, 2, 8, 59, tzinfo=UTC), date(2013, 1, 1)),
        (datetime(2013, 1, 2, 9, 0, tzinfo=UTC), date(2013, 1, 2)),
    ],
)
def test_the_last_flight_of_a_new_york_evening_belongs_to_its_day(departs_at: datetime, expected: date) -> None:
    assert day_of(departs_at) == expected


def test_a_late_flight_stays_in_the_day_of_its_schedule() -> None:
    view = day(scheduled("A"), departed("A", 23 * 60))
    assert [leg.status for leg in view.legs] == [Status.DEPARTED]


def test_a_day_does_not_grow_without_end() -> None:
    names = [f"F{number:03}" for number in range(LEGS_MAX + 3)]
    view = day(*(scheduled(name) for name in names), departed(names[0]), departed(names[-1]))
    assert (len(view.legs), view.legs_left_out) == (LEGS_MAX, 3)
    assert view.legs[0].status is Status.DEPARTED


async def test_a_day_is_found_by_aircraft_and_date(bus: Bus) -> None:
    await play(bus, scheduled("A"))
    found = await bus.query(GetAircraftDay(aircraft="N14228", day=date(2013, 1, 1)))
    assert found is not None
    assert [leg.flight_id for leg in found.legs] == ["A"]
    assert await bus.query(GetAircraftDay(aircraft="N14228", day=date(2013, 1, 2))) is None
