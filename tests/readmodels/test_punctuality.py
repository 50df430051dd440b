"""Punctuality counts flights by carrier and route, and its percentiles are exact."""

from collections import Counter
from datetime import timedelta
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import Bus
from domain.flight import FlightCommand
from readmodels.punctuality import (
    DELAY_MINUTES_MAX,
    PUNCTUALITY,
    GetPunctuality,
    Scope,
    delay_minutes,
    figures,
    nearest_rank,
)
from tests.readmodels.histories import after, cancelled, departed, diverted, landed, play, scheduled


def flown(delays: list[int], carrier: str = "UA", destination: str = "IAH") -> list[FlightCommand]:
    commands: list[FlightCommand] = []
    for number, delay in enumerate(delays):
        flight_id = f"{carrier}-{destination}-{number}"
        commands += [
            scheduled(flight_id, carrier=carrier, destination=destination),
            departed(flight_id),
            landed(flight_id, delay),
        ]
    return commands


def test_each_end_of_a_flight_is_counted_for_its_carrier_and_its_route() -> None:
    commands = [
        *flown([4, -6]),
        scheduled("waits"),
        scheduled("cancelled"),
        cancelled("cancelled"),
        scheduled("diverted"),
        departed("diverted"),
        diverted("diverted"),
    ]
    views = after(PUNCTUALITY, commands).views
    assert set(views) == {"carrier/UA", "route/EWR-IAH"}
    for view in views.values():
        assert (view.flights, view.landed, view.cancelled, view.diverted) == (5, 2, 1, 1)
        assert (view.delay_minutes, dict(view.histogram)) == (-2, {4: 1, -6: 1})


def test_routes_and_carriers_are_kept_apart() -> None:
    views = after(PUNCTUALITY, [*flown([1]), *flown([2], carrier="DL"), *flown([3], destination="ATL")]).views
    assert {key: view.delay_minutes for key, view in views.items()} == {
        "carrier/UA": 4,
        "carrier/DL": 2,
        "route/EWR-IAH": 3,
        "route/EWR-ATL": 3,
    }


def test_early_arrivals_are_negative_minutes() -> None:
    (line,) = (figures(view) for key, view in after(PUNCTUALITY, flown([-10, -20])).views.items() if "UA" in key)
    assert (line.mean_delay, line.percentile_90_delay) == (-15.0, -10)


def test_a_carrier_of_which_nothing_has_landed_has_no_delays() -> None:
    line = figures(after(PUNCTUALITY, [scheduled("A")]).views["carrier/UA"])
    assert (line.flights, line.mean_delay, line.percentile_90_delay) == (1, None, None)


@pytest.mark.parametrize(
    ("delay", "minutes"),
    [
        (timedelta(), 0),
        (timedelta(minutes=14, seconds=59), 14),
        (timedelta(seconds=-1), -1),
        (timedelta(minutes=-5), -5),
        (timedelta(days=9), DELAY_MINUTES_MAX),
        (timedelta(days=-9), -DELAY_MINUTES_MAX),
    ],
)
def test_a_delay_counts_in_whole_minutes_within_a_day(delay: timedelta, minutes: int) -> None:
    assert delay_minutes(delay) == minutes


@pytest.mark.parametrize(
    ("delays", "expected"),
    [([7], 7), ([1, 2], 2), (list(range(1, 11)), 9), (list(range(1, 12)), 10), ([-5] * 9 + [100], -5)],
)
def test_the_90th_percentile_is_the_value_at_the_nearest_rank(delays: list[int], expected: int) -> None:
    assert nearest_rank(Counter(delays), 90) == expected


@given(st.lists(st.integers(-200, 1500), min_size=1, max_size=300), st.integers(1, 100))
def test_a_percentile_from_the_histogram_is_the_one_of_the_sorted_list(delays: list[int], percent: int) -> None:
    # The textbook's way: the value at rank ceil(p/100 * n) of the sorted list. Integers keep the rank exact.
    rank = ceil(len(delays) * percent / 100) if len(delays) * percent % 100 else len(delays) * percent // 100
    assert nearest_rank(Counter(delays), percent) == sorted(delays)[rank - 1]


@given(st.lists(st.integers(-170, 1500), min_size=1, max_size=40))
def test_mean_and_percentile_of_a_view_are_those_of_its_landings(delays: list[int]) -> None:
    line = figures(after(PUNCTUALITY, flown(delays)).views["route/EWR-IAH"])
    clipped = sorted(min(delay, DELAY_MINUTES_MAX) for delay in delays)
    assert line.landed == len(delays)
    assert line.mean_delay == pytest.approx(sum(clipped) / len(clipped))
    assert line.percentile_90_delay == clipped[(9 * len(clipped) + 9) // 10 - 1]


def test_an_empty_histogram_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="empty"):
        nearest_rank({}, 90)


async def test_the_table_lists_carriers_or_routes_by_name(bus: Bus) -> None:
    await play(bus, *flown([1]), *flown([2], carrier="DL"), *flown([3], destination="ATL"))
    assert [line.name for line in await bus.query(GetPunctuality(by=Scope.CARRIER))] == ["DL", "UA"]
    assert [line.name for line in await bus.query(GetPunctuality(by=Scope.ROUTE))] == ["EWR-ATL", "EWR-IAH"]
    assert len(await bus.query(GetPunctuality(by=Scope.ROUTE, limit=1))) == 1
