"""Tables: departure boards, punctuality, an aircraft's day and dead letters, for people."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from adapters.cli.app import in_one_line

if TYPE_CHECKING:
    from bus import DeadLetter
    from domain.flight import Status
    from readmodels.aircraft_day import AircraftDay
    from readmodels.departures import Departure
    from readmodels.punctuality import PunctualityFigures

STYLES: Final[Mapping[str, str]] = {
    "scheduled": "",
    "departed": "cyan",
    "landed": "green",
    "diverted": "yellow",
    "cancelled": "red",
}
LATE_MINUTES: Final = 15
"""The industry counts a flight as on time if it is less late than this."""

_MINUTE = timedelta(minutes=1)


def board(airport: str, departures: Sequence["Departure"], zone: tzinfo) -> Table:
    """The departure board of an airport, in its local time."""
    table = _table(f"Departures from {airport}, local time")
    for heading in ("Scheduled", "Flight", "To", "Aircraft", "Status"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Departed", "Delay", "Arrival"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in departures:
        table.add_row(
            clock(line.departs_at, zone),
            f"{line.carrier} {line.number}",
            line.destination,
            line.aircraft or "",
            status(line.status),
            "" if line.departed_at is None else f"{line.departed_at.astimezone(zone):%H:%M}",
            delay(line.delay),
            delay(line.arrival_delay),
        )
    return table


def live_board(
    airport: str, departures: Sequence["Departure"], zone: tzinfo, names: Mapping[str, str], caption: str
) -> Table:
    """The departure board of an airport while it changes, with the carriers' names and a line below."""
    table = _table(f"Departures from {airport}, local time")
    table.caption, table.caption_justify = caption, "left"
    for heading in ("Scheduled", "Flight"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Carrier", no_wrap=True, overflow="ellipsis", max_width=18)
    # Wide enough for what may come, so that the board stands still.
    for heading, width in (("To", 3), ("Status", 9)):
        table.add_column(heading, no_wrap=True, min_width=width)
    for heading, width in (("Departed", 8), ("Delay", 8)):
        table.add_column(heading, justify="right", no_wrap=True, min_width=width)
    for line in departures:
        table.add_row(
            clock(line.departs_at, zone),
            f"{line.carrier} {line.number}",
            names.get(line.carrier, line.carrier),
            line.destination,
            status(line.status),
            "" if line.departed_at is None else f"{line.departed_at.astimezone(zone):%H:%M}",
            delay(line.delay),
        )
    return table


def punctuality(title: str, figures: Sequence["PunctualityFigures"], names: Mapping[str, str] | None = None) -> Table:
    """Counts and delays, a line for each carrier or route; `names` are written beside their codes."""
    table = _table(title)
    table.add_column("", no_wrap=True)
    for heading in ("Flights", "Canc.", "Div.", "Mean delay", "90 % within"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in figures:
        table.add_row(
            line.name if names is None else f"{line.name} {names.get(line.name, '')}".rstrip(),
            f"{line.flights:,}",
            str(line.cancelled or ""),
            str(line.diverted or ""),
            "" if line.mean_delay is None else f"{line.mean_delay:+.1f} min",
            "" if line.percentile_90_delay is None else f"{line.percentile_90_delay:+d} min",
        )
    return table


def aircraft_day(day: "AircraftDay", zone: tzinfo) -> Table:
    """The flights of one aircraft on one day, in the local time of one place."""
    table = _table(f"Aircraft {day.aircraft} on {day.day:%d %B %Y}")
    for heading in ("Scheduled", "From", "To", "Status", "Departed", "Ended"):
        table.add_column(heading, no_wrap=True)
    for leg in day.legs:
        table.add_row(
            clock(leg.departs_at, zone),
            leg.origin,
            leg.destination,
            status(leg.status),
            "" if leg.departed_at is None else clock(leg.departed_at, zone),
            "" if leg.ended_at is None else clock(leg.ended_at, zone),
        )
    return table


def dead_letters(letters: Iterable["DeadLetter"]) -> Table:
    """Events that projections have given up, and those that wait behind them."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    # An id is there to be copied: what is beside it gives way.
    table.add_column("Id", no_wrap=True)
    for heading in ("Event", "Attempts", "Since", "Error"):
        table.add_column(heading, overflow="fold")
    for letter in letters:
        error = in_one_line(letter.error) if letter.error is not None else "waits"
        since = f"{letter.first_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(*[Text(one) for one in (letter.id, letter.name, str(letter.attempts), since, error)])
    return table


def _table(title: str) -> Table:
    """Narrow enough for 80 columns."""
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))


def status(of: "Status") -> Text:
    """A status in its colour."""
    return Text(of.value, style=STYLES.get(of.value, ""))


def clock(moment: datetime, zone: tzinfo) -> str:
    """Day and time at a place: `07 Jan 21:59`."""
    return f"{moment.astimezone(zone):%d %b %H:%M}"


def delay(late: timedelta | None) -> Text:
    """A delay in minutes, with its sign; None is blank."""
    if late is None:
        return Text()
    minutes = late // _MINUTE
    return Text(f"{minutes:+d} min" if minutes else "on time", style="red" if minutes >= LATE_MINUTES else "")
