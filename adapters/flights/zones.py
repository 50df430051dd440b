"""Zones: the clocks of airports, and moments in time from local times; also the names of carriers."""

import csv
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from adapters.flights.files import InputError, Unusable

DATA: Final = Path(__file__).parent / "data"

LEFT_OUT: Final[Mapping[str, str]] = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/Puerto_Rico",
}
"""Airports in Puerto Rico and the US Virgin Islands that airports.csv leaves out, though New York flies there.
Both keep Atlantic time all year, so that they share a zone here. With it the arrivals of all their flights in 2013
agree with the records."""

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)


@cache
def zone_names() -> Mapping[str, str]:
    """The zone of each airport by its code."""
    with (DATA / "airports.csv").open(encoding="utf-8", newline="") as text:
        listed = {row["faa"]: row["tzone"] for row in csv.DictReader(text)}
    return {**listed, **LEFT_OUT}


@cache
def carrier_names() -> Mapping[str, str]:
    """The name of each carrier by its code."""
    with (DATA / "airlines.csv").open(encoding="utf-8", newline="") as text:
        return {row["carrier"]: row["name"] for row in csv.DictReader(text)}


@lru_cache(maxsize=4096)
def zone(airport: str) -> ZoneInfo:
    """The zone of an airport; raises `Unusable` where none is known."""
    name = zone_names().get(airport)
    if name is None:
        raise Unusable(f"airport {airport} is not in airports.csv, so its local time is unknown")
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError as error:
        if name == "NA":
            raise Unusable(f"airports.csv has no zone for airport {airport}") from error
        raise InputError(f"this machine has no data of time zone {name}: install the package tzdata") from error
    except (ValueError, OSError) as error:
        raise Unusable(f"airports.csv has {name!r} for the zone of airport {airport}") from error


@lru_cache(maxsize=65_536)
def departure_hour(day: date, hour: int, airport: str, time_hour: str) -> datetime:
    """The moment when an hour of the schedule begins at an airport.

    In autumn an hour comes twice; `time_hour`, the same hour in UTC, tells which. It may be empty or without a zone,
    and then tells nothing. Where it contradicts the local time the row is `Unusable`: one of the two is wrong.
    """
    local = datetime.combine(day, time(), zone(airport)) + timedelta(hours=hour)
    first = local.astimezone(UTC)
    told = _told(time_hour)
    if told is None or told == first:
        return first
    second = local.replace(fold=1).astimezone(UTC)
    if told == second:
        return second
    raise Unusable(
        f"its time_hour {time_hour} contradicts {day} {hour:02}h at {airport}, which is {first:%Y-%m-%dT%HZ}"
    )


def _told(time_hour: str) -> datetime | None:
    if time_hour in ("", "NA"):
        return None
    try:
        told = datetime.fromisoformat(time_hour)
    except ValueError as error:
        raise Unusable(f"its time_hour {time_hour!r} is no time") from error
    return None if told.tzinfo is None else told.astimezone(UTC)


def next_time(after: datetime, minutes: int, airport: str) -> datetime:
    """The first moment after `after` when the clocks at an airport show `minutes` past midnight."""
    there = zone(airport)
    local = datetime.combine(after.astimezone(there).date(), time(), there) + timedelta(minutes=minutes)
    moment = local.astimezone(UTC)
    return moment if moment > after else (local + _DAY).astimezone(UTC)
