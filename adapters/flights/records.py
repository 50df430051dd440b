"""Records: what became of each flight, read from the rows of a file."""

import enum
import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import msgspec

from adapters.flights.files import Unusable, UnusableRow, opened, rows
from adapters.flights.zones import departure_hour, next_time
from domain.flight import EARLY_MAX, Airport, FlightId

COLUMNS = (
    "year",
    "month",
    "day",
    "dep_time",
    "sched_dep_time",
    "dep_delay",
    "sched_arr_time",
    "arr_delay",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "?time_hour",
)
"""What a file must have; `arr_time`, `air_time` and the others say nothing that these do not."""

_MISSING = frozenset({"", "NA"})
_WHOLE = re.compile(r"[+-]?[0-9]{1,6}(?:\.0*)?")
"""Spreadsheets and data frames write whole numbers with a point once a column has gaps."""
_CARRIER = re.compile(r"[A-Z0-9]{2,3}")
_AIRPORT = re.compile(r"[A-Z0-9]{3,4}")
_TAIL = re.compile(r"[A-Za-z0-9-]{1,10}")
_FLIGHT_NUMBERS = range(1, 10_000)
_YEARS = range(1914, 2200)
"""The first airline flew in 1914; far from the ends of the calendar no sum of times overflows."""


class Outcome(enum.Enum):
    """How a flight ended."""

    LANDED = "landed"
    DIVERTED = "diverted"
    CANCELLED = "cancelled"


class FlightRecord(msgspec.Struct, frozen=True):
    """One flight and what became of it; all times are UTC."""

    flight_id: FlightId
    key: str
    """What the ids of its commands begin with: `2013-01-01/UA/1545/EWR`."""
    carrier: str
    number: int
    origin: Airport
    destination: Airport
    aircraft: str | None
    departs_at: datetime
    arrives_at: datetime
    outcome: Outcome
    departed_at: datetime
    """Of a cancelled flight its scheduled departure: the records do not say when it was cancelled."""
    ended_at: datetime
    """The landing. Of a diverted flight the moment when it would have landed, had it kept the time it is given for
    the way: the records do not say when it was diverted."""


class FlightRecords(msgspec.Struct, frozen=True):
    """A file of flights, read."""

    flights: list[FlightRecord]
    unusable: list[UnusableRow]


def read_flights(path: Path, *, limit: int | None = None) -> FlightRecords:
    """Reads a CSV file, compressed or not; only the first `limit` flights if given.

    Rows that cannot be used are reported with line and reason. Raises `InputError` for a file that cannot be read or
    has not the columns.
    """
    flights: list[FlightRecord] = []
    unusable: list[UnusableRow] = []
    line_of: dict[str, int] = {}
    with opened(path) as text:
        for line, values in rows(text, str(path), COLUMNS, unusable):
            if limit is not None and len(flights) >= limit:
                break
            try:
                record = flight_record(values)
                first = line_of.setdefault(record.flight_id, line)
                if first != line:
                    raise Unusable(f"it is the same flight as line {first}: {record.flight_id}")
            except Unusable as reason:
                unusable.append(UnusableRow(line, str(reason)))
            else:
                flights.append(record)
    unusable.sort(key=lambda row: row.line)
    return FlightRecords(flights, unusable)


def flight_record(values: list[str]) -> FlightRecord:
    """The flight of one row, whose values come in the order of `COLUMNS`; raises `Unusable`."""
    (
        year, month, day, departed, scheduled_departure, departure_delay, scheduled_arrival, arrival_delay,
        carrier, number, tail, origin, destination, time_hour,
    ) = values  # fmt: skip
    carrier = _code(carrier, _CARRIER, "carrier")
    origin = _code(origin, _AIRPORT, "origin")
    destination = _code(destination, _AIRPORT, "dest")
    flight_number = _number(number, "flight")
    if flight_number not in _FLIGHT_NUMBERS:
        raise Unusable(f"its flight {flight_number} is no flight number")
    local_day = _date(year, month, day)
    hour, minute = _clock(scheduled_departure, "sched_dep_time")
    departs_at = departure_hour(local_day, hour, origin, time_hour) + _minutes(minute)
    hour, minute = _clock(scheduled_arrival, "sched_arr_time")
    arrives_at = next_time(departs_at, 60 * hour + minute, destination)
    outcome, departed_at, ended_at = _outcome(departed, departure_delay, arrival_delay, departs_at, arrives_at)
    return FlightRecord(
        flight_id=FlightId(f"{carrier}-{flight_number}-{local_day}-{origin}"),
        key=f"{local_day}/{carrier}/{flight_number}/{origin}",
        carrier=carrier,
        number=flight_number,
        origin=Airport(origin),
        destination=Airport(destination),
        aircraft=_tail(tail),
        departs_at=departs_at,
        arrives_at=arrives_at,
        outcome=outcome,
        departed_at=departed_at,
        ended_at=ended_at,
    )


def _outcome(
    departed: str, departure_delay: str, arrival_delay: str, departs_at: datetime, arrives_at: datetime
) -> tuple[Outcome, datetime, datetime]:
    """How the flight ended, when it departed and when it ended.

    The delays are the truth, the times of day only follow from them: they lack the date, and a flight that is delayed
    past midnight leaves, or arrives, on another day than it was to.
    """
    if departed in _MISSING:
        return Outcome.CANCELLED, departs_at, departs_at
    _clock(departed, "dep_time")
    departed_at = departs_at + _minutes(_number(departure_delay, "dep_delay"))
    if departed_at < departs_at - EARLY_MAX:
        raise Unusable(f"its dep_delay {departure_delay} means a departure more than a day early")
    if arrival_delay in _MISSING:
        return Outcome.DIVERTED, departed_at, departed_at + (arrives_at - departs_at)
    landed_at = arrives_at + _minutes(_number(arrival_delay, "arr_delay"))
    if landed_at <= departed_at:
        raise Unusable(f"by its delays it departs at {departed_at:%d %H:%M} and lands at {landed_at:%d %H:%M} UTC")
    return Outcome.LANDED, departed_at, landed_at


@lru_cache(maxsize=16_384)
def _minutes(minutes: int) -> timedelta:
    return timedelta(minutes=minutes)


@lru_cache(maxsize=65_536)
def _number(text: str, column: str) -> int:
    text = text.strip()
    if text in _MISSING:
        raise Unusable(f"its {column} is missing")
    if not _WHOLE.fullmatch(text):
        raise Unusable(f"its {column} {text[:40]!r} is no whole number")
    return int(text.partition(".")[0])


@lru_cache(maxsize=65_536)
def _clock(text: str, column: str) -> tuple[int, int]:
    """Hour and minute of a time such as `517` or `2400`, which is the midnight that ends the day."""
    number = _number(text, column)
    hour, minute = divmod(number, 100)
    if number < 0 or minute >= 60 or hour > 24 or number > 2400:
        raise Unusable(f"its {column} {text[:40]!r} is no time of day")
    return hour, minute


@lru_cache(maxsize=4096)
def _date(year: str, month: str, day: str) -> date:
    try:
        local_day = date(_number(year, "year"), _number(month, "month"), _number(day, "day"))
    except ValueError as error:
        raise Unusable(f"there is no day {year}-{month}-{day}") from error
    if local_day.year not in _YEARS:
        raise Unusable(f"there are no airline records of the year {year}")
    return local_day


@lru_cache(maxsize=16_384)
def _code(text: str, pattern: re.Pattern[str], column: str) -> str:
    code = text.strip().upper()
    if code in _MISSING:
        raise Unusable(f"its {column} is missing")
    if not pattern.fullmatch(code):
        raise Unusable(f"its {column} {text[:40]!r} is no code")
    return code


def _tail(text: str) -> str | None:
    tail = text.strip()
    if tail in _MISSING:
        return None
    if not _TAIL.fullmatch(tail):
        raise Unusable(f"its tailnum {tail[:40]!r} is no tail number")
    return tail
