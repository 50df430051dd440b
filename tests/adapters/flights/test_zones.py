"""Local times become moments."""

from datetime import UTC, date, datetime

import pytest

from adapters.flights.files import Unusable
from adapters.flights.zones import carrier_names, departure_hour, next_time, zone, zone_names


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_an_hour_of_the_schedule_is_local_to_its_airport() -> None:
    assert departure_hour(date(2013, 1, 1), 5, "EWR", "2013-01-01T10:00:00Z") == utc("2013-01-01T10:00")
    assert departure_hour(date(2013, 7, 1), 5, "EWR", "2013-07-01T09:00:00Z") == utc("2013-07-01T09:00")


@pytest.mark.parametrize("time_hour", ["", "NA", "2013-01-01 05:00:00"])
def test_without_a_moment_in_the_row_the_zone_tells(time_hour: str) -> None:
    assert departure_hour(date(2013, 1, 1), 5, "EWR", time_hour) == utc("2013-01-01T10:00")


def test_the_hour_that_comes_twice_in_autumn_is_the_one_that_the_row_tells() -> None:
    for told in ("2013-11-03T05:00:00Z", "2013-11-03T06:00:00Z"):
        assert departure_hour(date(2013, 11, 3), 1, "EWR", told) == datetime.fromisoformat(told)


def test_the_hour_24_is_the_midnight_that_ends_the_day() -> None:
    assert departure_hour(date(2013, 1, 1), 24, "EWR", "") == utc("2013-01-02T05:00")


def test_a_row_that_contradicts_itself_is_unusable() -> None:
    with pytest.raises(Unusable, match="contradicts"):
        departure_hour(date(2013, 1, 1), 5, "EWR", "2013-01-01T11:00:00Z")
    with pytest.raises(Unusable, match="is no time"):
        departure_hour(date(2013, 1, 1), 5, "EWR", "tomorrow")


def test_an_arrival_is_the_next_such_time_at_the_destination() -> None:
    departure = utc("2013-01-01T14:00")  # nine in New York
    assert next_time(departure, 15 * 60 + 30, "HNL") == utc("2013-01-02T01:30")
    assert next_time(departure, 8 * 60 + 30, "ORD") == utc("2013-01-01T14:30")
    assert next_time(departure, 9 * 60, "EWR") == utc("2013-01-02T14:00")


def test_a_night_flight_arrives_the_next_day() -> None:
    assert next_time(utc("2013-01-02T04:59"), 4 * 60 + 30, "BQN") == utc("2013-01-02T08:30")


@pytest.mark.parametrize("airport", ["BQN", "PSE", "SJU", "STT"])
def test_caribbean_airports_that_the_list_leaves_out_keep_atlantic_time(airport: str) -> None:
    for month in (1, 7):
        assert next_time(utc(f"2013-0{month}-01T10:00"), 12 * 60, airport) == utc(f"2013-0{month}-01T16:00")


def test_an_airport_without_a_known_zone_is_unusable() -> None:
    with pytest.raises(Unusable, match="QQQ is not in airports"):
        zone("QQQ")
    with pytest.raises(Unusable, match="no zone"):
        zone(next(airport for airport, name in zone_names().items() if name == "NA"))


def test_carriers_have_names() -> None:
    assert carrier_names()["UA"] == "United Air Lines Inc."
