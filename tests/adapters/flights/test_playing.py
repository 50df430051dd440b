"""The commands of many flights come in the order in which things happened."""

from collections import Counter
from pathlib import Path

from adapters.flights.playing import PUBLISHED_BEFORE, Played, commands
from adapters.flights.records import FlightRecord, read_flights
from adapters.flights.zones import DATA
from domain.flight import FLIGHT, CancelFlight, DepartFlight, DivertFlight, Flight, LandFlight, ScheduleFlight
from tests.adapters.flights.rows import row, write

WEEK = DATA / "flights-2013-01-01_07.csv.gz"


def flights(tmp_path: Path, *rows: dict[str, str]) -> list[FlightRecord]:
    return read_flights(write(tmp_path / "file.csv", *rows)).flights


LANDED = row()
CANCELLED = row(flight="2", dep_time="")
DIVERTED = row(flight="3", arr_delay="")


def test_what_happened_to_different_flights_is_merged_by_time(tmp_path: Path) -> None:
    ids = [one.command_id for one in commands(flights(tmp_path, LANDED, CANCELLED, DIVERTED))]
    assert ids == [
        "2013-01-01/UA/1545/EWR/schedule",
        "2013-01-01/UA/2/EWR/schedule",
        "2013-01-01/UA/3/EWR/schedule",
        "2013-01-01/UA/2/EWR/cancel",
        "2013-01-01/UA/1545/EWR/depart",
        "2013-01-01/UA/3/EWR/depart",
        "2013-01-01/UA/3/EWR/divert",
        "2013-01-01/UA/1545/EWR/land",
    ]


def test_the_order_of_the_rows_does_not_matter(tmp_path: Path) -> None:
    one = list(commands(flights(tmp_path, LANDED, CANCELLED, DIVERTED)))
    other = list(commands(flights(tmp_path, DIVERTED, LANDED, CANCELLED)))
    assert one == other


def moment(played: Played) -> object:
    match played.command:
        case ScheduleFlight():
            return played.command.departs_at - PUBLISHED_BEFORE
        case DepartFlight() | LandFlight() | DivertFlight() | CancelFlight():
            return played.command.at


def test_the_week_is_18262_commands_in_time_order_of_which_none_is_refused() -> None:
    played = list(commands(read_flights(WEEK).flights))
    assert Counter(type(one.command) for one in played) == {
        ScheduleFlight: 6_099,
        DepartFlight: 6_064,
        LandFlight: 6_043,
        DivertFlight: 21,
        CancelFlight: 35,
    }
    moments = [moment(one) for one in played]
    assert moments == sorted(moments)  # type: ignore[type-var]
    assert len({one.command_id for one in played}) == 18_262
    state: dict[str, Flight] = {}
    for one in played:
        flight = state.get(one.command.flight_id, FLIGHT.initial)
        state[one.command.flight_id] = FLIGHT.folded(flight, FLIGHT.decide(one.command, flight))
    assert Counter(flight.status.value for flight in state.values()) == {
        "landed": 6_043,
        "diverted": 21,
        "cancelled": 35,
    }


def test_a_second_reading_makes_the_same_commands_with_the_same_ids() -> None:
    assert list(commands(read_flights(WEEK, limit=200).flights)) == list(
        commands(read_flights(WEEK, limit=200).flights)
    )
