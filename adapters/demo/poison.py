"""Poison: one flight that the departure boards cannot process until they are mended, and what becomes of it."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import msgspec
from rich.console import RenderableType
from rich.text import Text

from adapters.cli import stores, tables
from adapters.cli.failures import Failure, Refused
from adapters.demo.traffic import traffic
from adapters.flights import FlightRecord, FlightRecords
from adapters.flights.records import Outcome
from adapters.flights.zones import zone
from bus import PARK, Application, Bus, DeadLetter, ProjectionStatistics, Recorded
from domain.flight import Airport, FlightDeparted, FlightEvent
from readmodels.departures import DEPARTURES, Departure, GetDepartures, project

SAME_MOMENT_MAX: Final = 1_000
"""Flights of one airport that are looked through for one, from the moment of its departure on."""


class PlantedBug(Exception):
    """What the projection raises for the poisoned flight."""


class Poison:
    """The bug, until it is mended: the boards' own projection, but for the departure of one flight."""

    def __init__(self, flight: FlightRecord) -> None:
        self.flight = flight
        self.is_mended = False

    def application(self) -> Application:
        """The demo's application with the bug in it."""
        return traffic(replace(DEPARTURES, project=self.project, on_poison=PARK))

    def project(self, view: Departure | None, recorded: Recorded[FlightEvent], key: str) -> Departure:
        """The board's line after an event of its flight."""
        if not self.is_mended and key == self.flight.flight_id and isinstance(recorded.event, FlightDeparted):
            raise PlantedBug("the demo's poison")
        return project(view, recorded, key)


class Story(msgspec.Struct, frozen=True):
    """What became of the poisoned flight."""

    flight: FlightRecord
    letters: list[DeadLetter]
    before: Departure | None
    """The flight on its board while it is parked."""
    boards: ProjectionStatistics
    """At the same time."""
    answer: str | None = None
    """That of the retry; None where there was none."""
    after: Departure | None = None
    """The flight on its board after the retry."""


def poison_of(records: FlightRecords, airport: Airport | None) -> Poison:
    """Poisons the first flight of the input that departs, of one airport if given; raises `Refused` for none."""
    for flight in records.flights:
        if flight.outcome is not Outcome.CANCELLED and airport in (None, flight.origin):
            return Poison(flight)
    raise Refused("--poison needs a flight that departs, and the input has none")


async def told(bus: Bus, poison: Poison, keep: bool) -> Story:
    """Looks at what is parked, and unless it is to be kept mends the bug and lets the bus retry.

    The boards have caught up. Raises `Failure` for a retry that was not carried out.
    """
    story = Story(
        flight=poison.flight,
        letters=[letter async for letter in bus.dead_letters(DEPARTURES.name)],
        before=await _on_the_board(bus, poison.flight),
        boards=next(one for one in bus.statistics().projections if one.name == DEPARTURES.name),
    )
    if keep or not story.letters:
        return story
    poison.is_mended = True
    request = await bus.retry_dead_letters(DEPARTURES.name)
    if not request.is_done:
        raise Failure(f"the retry of the parked events was not carried out: {request.answer or 'not in time'}")
    return msgspec.structs.replace(story, answer=request.answer, after=await _on_the_board(bus, poison.flight))


def chapters(story: Story, store: str, views: str) -> Iterator[RenderableType]:
    """The story for people, with the commands that show the same by hand."""
    where = f" --store {shlex.quote(store)}"
    if views != stores.views_beside(store):
        where += f" --views {shlex.quote(views)}"
    flight = story.flight.flight_id
    yield Text(f"Poison: the departure boards cannot process the departure of {flight}.", style="bold")
    if not story.letters:
        yield "Nothing is parked: it was on the boards before, or another process makes them; poison a new --store."
        return
    boards = story.boards
    yield (
        f"Flights parked: {boards.parked_keys:,}. Events parked: {boards.dead_letters:,}. All others go on: "
        f"{boards.name} stands at position {boards.position:,}, {boards.lag_events:,} events behind."
    )
    yield f"$ doubledecker dead-letters list{where}"
    yield tables.dead_letters(story.letters)
    yield f"On its board: {_line(story.before)}"
    if story.answer is None:
        yield "It is kept so, for you to retry where the bug is mended, as it is in a worker:"
        yield f"$ sleep 60 | doubledecker worker{where} &"
        yield f"$ doubledecker dead-letters retry{where}"
        return
    yield "Mended."
    yield f"$ doubledecker dead-letters retry{where}"
    yield f"{DEPARTURES.name} version {DEPARTURES.version}: {story.answer}"
    yield f"On its board: {_line(story.after)}"


def _line(line: Departure | None) -> str:
    if line is None:
        return "nothing"
    there = zone(line.origin)
    late = "" if line.delay is None else f" {tables.delay(line.delay)}"
    return f"{tables.clock(line.departs_at, there)} {line.carrier} {line.number} {line.destination} {line.status}{late}"


async def _on_the_board(bus: Bus, flight: FlightRecord) -> Departure | None:
    query = GetDepartures(airport=flight.origin, since=flight.departs_at, limit=SAME_MOMENT_MAX)
    return next((line for line in await bus.query(query) if line.flight_id == flight.flight_id), None)
