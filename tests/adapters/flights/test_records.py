"""Every kind of dirt in the records, and the real week as a whole."""

import csv
import gzip
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.flights.files import InputError
from adapters.flights.records import FlightRecord, Outcome, read_flights
from adapters.flights.zones import DATA, zone
from tests.adapters.flights.rows import ROW, row, text, write

WEEK = DATA / "flights-2013-01-01_07.csv.gz"


def utc(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


def read(tmp_path: Path, **changed: str) -> FlightRecord:
    records = read_flights(write(tmp_path / "file.csv", row(**changed)))
    assert records.unusable == []
    (flight,) = records.flights
    return flight


def reason(tmp_path: Path, **changed: str) -> str:
    records = read_flights(write(tmp_path / "file.csv", row(), row(flight="2"), row(**{"flight": "3", **changed})))
    assert [flight.number for flight in records.flights] == [1545, 2]
    (unusable,) = records.unusable
    assert unusable.line == 4
    return unusable.reason


def test_a_flight_that_landed(tmp_path: Path) -> None:
    assert read(tmp_path) == FlightRecord(
        flight_id="UA-1545-2013-01-01-EWR",  # type: ignore[arg-type]
        key="2013-01-01/UA/1545/EWR",
        carrier="UA",
        number=1545,
        origin="EWR",  # type: ignore[arg-type]
        destination="IAH",  # type: ignore[arg-type]
        aircraft="N14228",
        departs_at=utc("2013-01-01T10:15"),
        arrives_at=utc("2013-01-01T14:19"),
        outcome=Outcome.LANDED,
        departed_at=utc("2013-01-01T10:17"),
        ended_at=utc("2013-01-01T14:30"),
    )


@pytest.mark.parametrize("missing", ["", "NA"])
def test_no_departure_time_means_cancelled(tmp_path: Path, missing: str) -> None:
    flight = read(tmp_path, dep_time=missing, dep_delay=missing, arr_time=missing, arr_delay=missing)
    assert (flight.outcome, flight.ended_at) == (Outcome.CANCELLED, flight.departs_at)


@pytest.mark.parametrize("missing", ["", "NA"])
@pytest.mark.parametrize("arrived", ["1830", ""])
def test_a_departure_without_an_arrival_delay_means_diverted(tmp_path: Path, missing: str, arrived: str) -> None:
    flight = read(tmp_path, arr_time=arrived, arr_delay=missing)
    assert flight.outcome is Outcome.DIVERTED
    assert flight.departed_at == utc("2013-01-01T10:17")
    assert flight.ended_at == flight.departed_at + (flight.arrives_at - flight.departs_at)


@pytest.mark.parametrize("missing", ["", "NA"])
def test_a_flight_may_have_no_tail_number(tmp_path: Path, missing: str) -> None:
    assert read(tmp_path, tailnum=missing).aircraft is None


def test_a_departure_delayed_past_midnight_is_on_the_next_day(tmp_path: Path) -> None:
    late = {"sched_dep_time": "2359", "dep_time": "2400", "dep_delay": "1", "time_hour": "2013-01-02T04:00:00Z"}
    flight = read(tmp_path, **late, sched_arr_time="440", arr_delay="0", dest="BQN")
    assert flight.departed_at == utc("2013-01-02T05:00")
    later = {**late, "dep_time": "101", "dep_delay": "62"}
    assert read(tmp_path, **later, sched_arr_time="440", dest="BQN").departed_at == utc("2013-01-02T06:01")


def test_an_arrival_after_midnight_is_on_the_next_day(tmp_path: Path) -> None:
    flight = read(
        tmp_path,
        **{"sched_dep_time": "2245", "dep_time": "2245", "dep_delay": "0", "time_hour": "2013-01-02T03:00:00Z"},
        **{"dest": "ORD", "sched_arr_time": "2358", "arr_time": "3", "arr_delay": "5"},
    )
    assert (flight.arrives_at, flight.ended_at) == (utc("2013-01-02T05:58"), utc("2013-01-02T06:03"))


def test_a_landing_at_2400_is_at_midnight(tmp_path: Path) -> None:
    flight = read(tmp_path, dest="ORD", sched_arr_time="2400", arr_time="2400", arr_delay="0")
    assert flight.ended_at == utc("2013-01-02T06:00")


def test_a_scheduled_departure_at_2400_is_at_the_end_of_the_day(tmp_path: Path) -> None:
    flight = read(tmp_path, sched_dep_time="2400", time_hour="2013-01-02T05:00:00Z", sched_arr_time="400")
    assert flight.departs_at == utc("2013-01-02T05:00")
    assert flight.flight_id == "UA-1545-2013-01-01-EWR"


def test_a_day_late_is_a_day_late(tmp_path: Path) -> None:
    flight = read(tmp_path, dep_delay="1301", arr_delay="1272")
    assert flight.departed_at == utc("2013-01-01T10:15") + timedelta(minutes=1301)


def test_a_destination_in_puerto_rico_keeps_atlantic_time(tmp_path: Path) -> None:
    flight = read(tmp_path, dest="SJU", sched_arr_time="1013", arr_delay="0")
    assert flight.arrives_at == utc("2013-01-01T14:13")


def test_whole_numbers_may_be_written_with_a_point(tmp_path: Path) -> None:
    assert read(tmp_path, dep_time="517.0", dep_delay="2.0", arr_delay="11.0") == read(tmp_path)


def test_codes_may_be_lower_case_and_padded(tmp_path: Path) -> None:
    assert read(tmp_path, carrier=" ua ", origin="ewr", dest="iah ", flight=" 1545") == read(tmp_path)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"dep_time": "2575"}, "its dep_time '2575' is no time of day"),
        ({"dep_time": "1260"}, "its dep_time '1260' is no time of day"),
        ({"dep_time": "-5"}, "its dep_time '-5' is no time of day"),
        ({"dep_time": "noon"}, "its dep_time 'noon' is no whole number"),
        ({"dep_delay": "NA"}, "its dep_delay is missing"),
        ({"dep_delay": "1.5"}, "its dep_delay '1.5' is no whole number"),
        ({"dep_delay": "-1441"}, "its dep_delay -1441 means a departure more than a day early"),
        ({"arr_delay": "-300"}, "by its delays it departs at 01 10:17 and lands at 01 09:19 UTC"),
        ({"arr_delay": "-242"}, "by its delays it departs at 01 10:17 and lands at 01 10:17 UTC"),
        ({"sched_dep_time": ""}, "its sched_dep_time is missing"),
        ({"sched_dep_time": "2401"}, "its sched_dep_time '2401' is no time of day"),
        ({"sched_arr_time": "NA"}, "its sched_arr_time is missing"),
        ({"month": "13"}, "there is no day 2013-13-1"),
        ({"month": "2", "day": "30"}, "there is no day 2013-2-30"),
        ({"year": "9999"}, "there are no airline records of the year 9999"),
        ({"year": ""}, "its year is missing"),
        ({"carrier": ""}, "its carrier is missing"),
        ({"carrier": "United"}, "its carrier 'United' is no code"),
        ({"flight": "x"}, "its flight 'x' is no whole number"),
        ({"flight": "0"}, "its flight 0 is no flight number"),
        ({"flight": "10000"}, "its flight 10000 is no flight number"),
        ({"origin": "NA"}, "its origin is missing"),
        ({"dest": "1"}, "its dest '1' is no code"),
        ({"dest": "QQQ"}, "airport QQQ is not in airports.csv, so its local time is unknown"),
        ({"tailnum": "N" * 21}, f"its tailnum '{'N' * 21}' is no tail number"),
        ({"tailnum": "N1/2"}, "its tailnum 'N1/2' is no tail number"),
        (
            {"time_hour": "2013-01-01T15:00:00Z"},
            "its time_hour 2013-01-01T15:00:00Z contradicts 2013-01-01 05h at EWR, which is 2013-01-01T10Z",
        ),
        ({"flight": "1545"}, "it is the same flight as line 2: UA-1545-2013-01-01-EWR"),
    ],
)
def test_a_row_that_cannot_be_used_is_reported(tmp_path: Path, changed: dict[str, str], expected: str) -> None:
    assert reason(tmp_path, **changed) == expected


def test_reports_come_by_line_and_the_good_rows_are_used(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text(text(row(day="40"), row(), row(flight="2", month="0")) + "\nnonsense\n" + "x,y\n")
    records = read_flights(path)
    assert [flight.number for flight in records.flights] == [1545]
    assert [row.line for row in records.unusable] == [2, 4, 6, 7]


def test_only_the_first_flights_are_read_if_a_limit_is_given(tmp_path: Path) -> None:
    path = write(tmp_path / "file.csv", row(flight="1"), row(flight="x"), row(flight="2"), row(flight="3"))
    assert [flight.number for flight in read_flights(path, limit=2).flights] == [1, 2]


def test_a_file_without_time_hour_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text(text(row(), columns=tuple(column for column in ROW if column != "time_hour")))
    assert read_flights(path).flights == [read(tmp_path)]


def test_a_header_alone_has_no_flights(tmp_path: Path) -> None:
    assert read_flights(write(tmp_path / "file.csv")).flights == []


def test_a_file_that_is_no_flight_records_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("carrier,name\nUA,United\n")
    with pytest.raises(InputError, match="is not a file of flight records"):
        read_flights(path)


# The real week, against the columns that the reader does not use


def raw_week() -> list[dict[str, str]]:
    with gzip.open(WEEK, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_week_has_6099_flights_and_all_are_used() -> None:
    records = read_flights(WEEK)
    assert records.unusable == []
    assert len(records.flights) == 6_099
    assert len({flight.flight_id for flight in records.flights}) == 6_099
    outcomes = Counter(flight.outcome for flight in records.flights)
    assert outcomes == {Outcome.LANDED: 6_043, Outcome.CANCELLED: 35, Outcome.DIVERTED: 21}
    raw = raw_week()
    assert outcomes[Outcome.CANCELLED] == sum(line["dep_time"] in ("", "NA") for line in raw)
    assert outcomes[Outcome.LANDED] == sum(line["arr_delay"] not in ("", "NA") for line in raw)


def local_clock(moment: datetime, airport: str) -> int:
    there = moment.astimezone(zone(airport))
    return there.hour * 60 + there.minute


def raw_clock(value: str) -> int:
    return (int(value) // 100 * 60 + int(value) % 100) % (24 * 60)


def test_in_the_week_local_times_of_departure_and_landing_are_those_of_the_records() -> None:
    """The reader computes them from the schedule and the delays, never from `dep_time` and `arr_time`."""
    for line, flight in zip(raw_week(), read_flights(WEEK).flights, strict=True):
        assert local_clock(flight.departs_at, flight.origin) == raw_clock(line["sched_dep_time"])
        assert flight.departs_at.astimezone(zone(flight.origin)).day == int(line["day"])
        if flight.outcome is not Outcome.CANCELLED:
            assert local_clock(flight.departed_at, flight.origin) == raw_clock(line["dep_time"])
        if flight.outcome is Outcome.LANDED:
            assert local_clock(flight.ended_at, flight.destination) == raw_clock(line["arr_time"])
            assert flight.ended_at - flight.departed_at >= timedelta(minutes=int(line["air_time"]))
