"""A run is put together from its parts, and its figures tell whether anything is lost."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.cli.failures import Refused
from adapters.demo.asking import Shown
from adapters.demo.audit import Audit
from adapters.demo.command import WEEK
from adapters.demo.playing import Tally
from adapters.demo.running import Wanted, airport_of, summarise
from adapters.flights import FlightRecords, commands, read_flights
from tests.adapters.flights.rows import row, write

SOUND = Audit(events=10, by_event={}, views=3, views_match=True, letters=0, lag_events=0, faults=())


@pytest.mark.parametrize(
    ("changed", "lost"),
    [({}, False), ({"events": 9}, True), ({"events": 11}, True), ({"lag_events": 1}, True), ({"faults": ("x",)}, True)],
)
def test_nothing_is_lost_only_if_the_store_holds_what_was_answered_for(changed: dict[str, Any], lost: bool) -> None:
    tally = Tally()
    tally.by_event["flight-scheduled"] = 6
    found = summarise(
        Wanted(path=WEEK, store="memory:", views="memory:"),
        FlightRecords([], []),
        [],
        tally=tally,
        shown=Shown({}, [], [], None, {}),
        found=replace(SOUND, **changed),
        before=4,
        seconds=1.0,
    )
    assert found.nothing_lost is not lost


def test_of_a_run_that_was_interrupted_only_what_was_played_is_counted() -> None:
    records = read_flights(WEEK, limit=4)
    played = list(commands(records.flights))
    tally = Tally()
    tally.commands = 3
    found = summarise(
        Wanted(path=WEEK, store="memory:", views="memory:"),
        records,
        played,
        tally=tally,
        shown=Shown({}, [], [], None, {}),
        found=SOUND,
        before=10,
        seconds=1.0,
    )
    assert (found.flights, found.commands, found.commands_left) == (3, 3, 9)


def test_an_airport_is_found_however_it_is_written(tmp_path: Path) -> None:
    records = read_flights(write(tmp_path / "file.csv", row()))
    assert airport_of(" ewr ", records) == "EWR"
    with pytest.raises(Refused, match=r"no flight of the input departs from 'IAH'.*: its airports are EWR$"):
        airport_of("IAH", records)


def test_no_airport_is_known_where_there_are_no_flights_and_not_all_of_very_many_are_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"its airports are none, since it has no flights$"):
        airport_of("EWR", FlightRecords([], []))
    one = read_flights(write(tmp_path / "file.csv", row())).flights[0]
    many = FlightRecords([replace(one, origin=f"A{number:02}") for number in range(22)], [])
    with pytest.raises(Refused, match=r"its airports are A00, A01, .*A19 and 2 more$"):
        airport_of("EWR", many)
