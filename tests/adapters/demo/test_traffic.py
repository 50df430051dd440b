"""The demo's application is whole, also with other departure boards."""

from dataclasses import replace

from adapters.demo import TRAFFIC
from adapters.demo.traffic import traffic
from bus import PARK
from readmodels.departures import DEPARTURES


def test_the_demo_projects_boards_whose_flights_are_parked_each_for_itself() -> None:
    assert [one.name for one in TRAFFIC.projections] == ["departures", "punctuality", "aircraft-days", "statuses"]
    assert [one.name for one in TRAFFIC.projections if one.on_poison is PARK] == ["departures"]


def test_other_boards_take_the_place_of_the_usual_ones() -> None:
    other = replace(DEPARTURES, version=2)
    assert traffic(other).projections == (other, *TRAFFIC.projections[1:])
