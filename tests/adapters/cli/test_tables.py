"""Tables say what they are given, in 80 columns."""

import io
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from rich.console import Console
from rich.table import Table

from adapters.cli import tables
from bus import DeadLetter
from domain.flight import Airport, FlightId, Status
from readmodels.aircraft_day import AircraftDay, Leg
from readmodels.departures import Departure
from readmodels.punctuality import PunctualityFigures

NEW_YORK = ZoneInfo("America/New_York")
AT = datetime(2013, 1, 2, 4, 59, tzinfo=UTC)


def lines(table: Table, width: int = 80) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def departure(
    status: Status, departed_at: datetime | None = None, delay: timedelta | None = None, aircraft: str | None = None
) -> Departure:
    return Departure(
        flight_id=FlightId("A"),
        carrier="B6",
        number=1018,
        origin=Airport("JFK"),
        destination=Airport("BOS"),
        aircraft=aircraft,
        status=status,
        departs_at=AT,
        arrives_at=AT + timedelta(hours=1),
        departed_at=departed_at,
        delay=delay,
    )


def test_a_board_is_in_the_time_of_its_airport() -> None:
    late = timedelta(minutes=50)
    found = lines(
        tables.board(
            "JFK",
            [departure(Status.SCHEDULED), departure(Status.DEPARTED, AT + late, late, "N805JB")],
            NEW_YORK,
        )
    )
    assert "Departures from JFK, local time" in found
    assert "01 Jan 23:59 B6 1018 BOS scheduled" in found
    assert "01 Jan 23:59 B6 1018 BOS N805JB departed 00:49 +50 min" in found


def test_an_empty_board_is_a_board() -> None:
    assert "Departures from JFK, local time" in lines(tables.board("JFK", [], NEW_YORK))


def test_a_live_board_names_carriers_keeps_its_width_and_has_a_line_below() -> None:
    names = {"B6": "JetBlue Airways of New York"}
    late = departure(Status.DEPARTED, AT + timedelta(minutes=50), timedelta(minutes=50))
    found = lines(tables.live_board("JFK", [departure(Status.CANCELLED), late], NEW_YORK, names, "position 7"))
    assert "01 Jan 23:59 B6 1018 JetBlue Airways o… BOS cancelled" in found
    assert "01 Jan 23:59 B6 1018 JetBlue Airways o… BOS departed 00:49 +50 min" in found
    assert found[-1] == "position 7"
    assert "01 Jan 23:59 B6 1018 B6 BOS cancelled" in lines(
        tables.live_board("JFK", [departure(Status.CANCELLED)], NEW_YORK, {}, "")
    )
    empty, full = [
        Console(width=80).measure(tables.live_board("JFK", board, NEW_YORK, names, "")).maximum
        for board in ([], [late])
    ]
    assert empty <= full <= 80


def test_dead_letters_are_named_whole_and_in_one_line() -> None:
    letter = DeadLetter(
        projection="departures",
        version=1,
        key="UA-1545-2013-01-01-EWR",
        position=4_711,
        stream="flight-UA-1545-2013-01-01-EWR",
        stream_version=2,
        name="flight-departed",
        error="ValueError: two\nlines",
        attempts=5,
        first_at=AT,
        last_at=AT,
        trace_id=None,
    )
    found = lines(tables.dead_letters([letter, msgspec.structs.replace(letter, position=4_712, error=None)]), width=120)
    assert f"{letter.id} flight-departed 5 2013-01-02 04:59:00 ValueError: two lines" in found
    assert "departures:1:4712:UA-1545-2013-01-01-EWR flight-departed 5 2013-01-02 04:59:00 waits" in found
    narrow = lines(tables.dead_letters([letter]), width=80)
    assert any(line.startswith(f"{letter.id} ") for line in narrow)


def test_punctuality_is_told_with_names_and_signs() -> None:
    figures = [
        PunctualityFigures("UA", 1_067, 3, 2, 1_062, 0.44, 28),
        PunctualityFigures("VX", 84, 0, 0, 84, -23.4, 0),
        PunctualityFigures("YV", 1, 1, 0, 0, None, None),
    ]
    found = lines(tables.punctuality("Carriers", figures, {"UA": "United", "VX": "Virgin"}))
    assert "UA United 1,067 3 2 +0.4 min +28 min" in found
    assert "VX Virgin 84 -23.4 min +0 min" in found
    assert "YV 1 1" in found
    assert "UA 1,067 3 2 +0.4 min +28 min" in lines(tables.punctuality("Carriers", figures))


def test_an_aircrafts_day_lists_its_legs() -> None:
    leg = Leg(FlightId("A"), Airport("JFK"), Airport("BOS"), AT, Status.LANDED, AT, AT + timedelta(hours=1))
    found = lines(tables.aircraft_day(AircraftDay("N1", date(2013, 1, 1), (leg,)), NEW_YORK))
    assert "Aircraft N1 on 01 January 2013" in found
    assert "01 Jan 23:59 JFK BOS landed 01 Jan 23:59 02 Jan 00:59" in found


@pytest.mark.parametrize(
    ("late", "text", "style"),
    [
        (None, "", ""),
        (timedelta(0), "on time", ""),
        (timedelta(minutes=14, seconds=59), "+14 min", ""),
        (timedelta(minutes=15), "+15 min", "red"),
        (timedelta(minutes=-4), "-4 min", ""),
    ],
)
def test_a_delay_is_red_from_a_quarter_of_an_hour(late: timedelta | None, text: str, style: str) -> None:
    found = tables.delay(late)
    assert (found.plain, found.style) == (text, style)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.UNKNOWN])
def test_every_status_has_a_style(status: Status) -> None:
    assert status.value in tables.STYLES
    assert tables.status(status).plain == status.value
