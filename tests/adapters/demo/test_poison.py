"""A poisoned flight is parked while all others go on, and is whole after the bug is mended and the retry done."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from adapters.cli import run
from adapters.cli.failures import Failure, Refused
from adapters.demo.command import WEEK
from adapters.demo.poison import Poison, chapters, poison_of, told
from adapters.demo.traffic import TRAFFIC
from adapters.flights import FlightRecords, commands, read_flights
from bus import Bus, Limits, Parked, Recorded
from domain.flight import Airport, FlightEvent, LandFlight, Status
from readmodels.departures import Departure, GetDepartures
from tests.adapters.cli.processes import doubledecker
from tests.adapters.cli.workers import worker
from tests.adapters.demo.terminals import on_a_terminal
from tests.adapters.flights.rows import row, write

LIMITS = Limits(projection_backoff_s=0.001)

RECORDS = read_flights(WEEK, limit=40)
FIRST = "UA-1545-2013-01-01-EWR"


def test_the_first_flight_that_departs_is_poisoned_of_one_airport_if_one_is_watched(tmp_path: Path) -> None:
    assert poison_of(RECORDS, None).flight.flight_id == FIRST
    assert poison_of(RECORDS, Airport("JFK")).flight.origin == "JFK"
    cancelled = read_flights(write(tmp_path / "file.csv", row(dep_time="")))
    for records in (cancelled, FlightRecords([], [])):
        with pytest.raises(Refused, match="--poison needs a flight that departs, and the input has none"):
            poison_of(records, None)


PLAYED = list(commands(RECORDS.flights))
LANDING = next(one for one in PLAYED if isinstance(one.command, LandFlight) and one.command.flight_id == FIRST)


async def play(bus: Bus) -> None:
    await bus.send_many([one.command for one in PLAYED], command_ids=[one.command_id for one in PLAYED])
    await bus.wait_settled()


async def board(bus: Bus) -> list[Departure]:
    return await bus.query(GetDepartures(airport=Airport("EWR"), limit=100))


async def test_others_go_on_while_it_is_parked_and_a_retry_makes_it_whole() -> None:
    poison = poison_of(RECORDS, None)
    async with Bus(poison.application()) as bus:
        await play(bus)
        kept = await told(bus, poison, keep=True)
        assert {line.flight_id: line.status for line in await board(bus)} == {
            flight.flight_id: Status.SCHEDULED if flight.flight_id == FIRST else Status.LANDED
            for flight in RECORDS.flights
            if flight.origin == "EWR"
        }
        landed = await bus.send(LANDING.command, command_id=LANDING.command_id)
        with pytest.raises(Parked, match=FIRST):
            await bus.query(GetDepartures(airport=Airport("EWR")), after=landed)
        story = await told(bus, poison, keep=False)
        assert {line.status for line in await board(bus)} == {Status.LANDED}
        assert [letter async for letter in bus.dead_letters()] == []
    assert (kept.answer, kept.after) == (None, None)
    assert [(letter.name, letter.error, letter.attempts) for letter in story.letters] == [
        ("flight-departed", "PlantedBug: the demo's poison", 5),
        ("flight-landed", None, 0),
    ]
    assert (story.boards.parked_keys, story.boards.lag_events, story.boards.stopped) == (1, 0, None)
    assert story.answer == "2 events are in the views now"
    assert story.before is not None
    assert story.after is not None
    assert (story.before.status, story.after.status) == (Status.SCHEDULED, Status.LANDED)


async def test_a_retry_that_is_not_carried_out_is_a_failure() -> None:
    class StuckPoison(Poison):
        """Is not mended by saying so."""

        def project(self, view: Departure | None, recorded: Recorded[FlightEvent], key: str) -> Departure:
            self.is_mended = False
            return super().project(view, recorded, key)

    poison = StuckPoison(RECORDS.flights[0])
    async with Bus(poison.application(), limits=LIMITS) as bus:
        await play(bus)
        with pytest.raises(Failure, match=r"not carried out: 0 events are in the views now; .*PlantedBug"):
            await told(bus, poison, keep=False)


async def test_what_is_on_the_boards_already_cannot_be_poisoned_and_the_story_says_so() -> None:
    poison = poison_of(RECORDS, None)
    async with Bus(TRAFFIC) as bus:
        await play(bus)
        story = await told(bus, poison, keep=False)
    assert (story.letters, story.answer) == ([], None)
    assert "poison a new --store" in written(*chapters(story, "memory:", "memory:"))


def written(*parts: RenderableType) -> str:
    out = io.StringIO()
    console = Console(file=out, width=100)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))
    return out.getvalue()


def test_the_story_shows_the_letters_as_the_command_does_and_the_view_before_and_after(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = f"sqlite:///{tmp_path}/flights.db"
    assert run(["demo", "--poison", "--store", store, "--limit", "200"]) == 0
    captured = capsys.readouterr()
    story = captured.out[captured.out.index("Poison: ") :]
    lines = [" ".join(line.split()) for line in story.splitlines()]
    assert lines[0] == f"Poison: the departure boards cannot process the departure of {FIRST}."
    assert lines[1] == (
        "Flights parked: 1. Events parked: 2. All others go on: departures stands at position 600, 0 events behind."
    )
    assert lines[2] == f"$ doubledecker dead-letters list --store {store}"
    letters = [line.split()[:3] for line in lines if line.startswith("departures:1:")]
    assert [(name, attempts) for _, name, attempts in letters] == [("flight-departed", "5"), ("flight-landed", "0")]
    assert all(letter_id.endswith(f":{FIRST}") for letter_id, _, _ in letters)
    mended = lines.index("Mended.")
    assert lines[mended - 1] == "On its board: 01 Jan 05:15 UA 1545 IAH scheduled"
    assert lines[mended + 1 : mended + 4] == [
        f"$ doubledecker dead-letters retry --store {store}",
        "departures version 1: 2 events are in the views now",
        "On its board: 01 Jan 05:15 UA 1545 IAH landed +2 min",
    ]
    assert lines[-2].startswith("Nothing is lost: 600 events counted in the store, without a gap; all ")
    assert lines[-2].endswith(" views equal a fold of them.")
    assert run(["dead-letters", "list", "--store", store]) == 0
    assert capsys.readouterr().out == ""


def test_what_is_kept_is_listed_and_retried_by_hand_beside_a_worker(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/flights.db"
    kept = doubledecker("demo", "--poison", "--keep", "--store", store, "--limit", "200")
    assert kept.returncode == 0
    assert f"doubledecker dead-letters retry --store {store}" in kept.stdout
    assert "equal a fold of those that are not parked; 2 are, and wait for a retry." in kept.stdout
    listed = [json.loads(line) for line in doubledecker("dead-letters", "list", "--store", store).stdout.splitlines()]
    assert [(line["key"], line["name"]) for line in listed] == [(FIRST, "flight-departed"), (FIRST, "flight-landed")]
    with worker("--store", store, folder=tmp_path) as running:
        retried = doubledecker("dead-letters", "retry", "--store", store)
        assert (retried.returncode, retried.stdout) == (0, "departures version 1: 2 events are in the views now\n")
        assert running.finish()[0] == 0
    again = json.loads(doubledecker("demo", "--json", "--store", store, "--limit", "200").stdout)
    assert (again["dead_letters"], again["views_match"], again["nothing_lost"]) == (0, True, True)


def test_on_a_terminal_the_poisoned_flight_of_the_watched_airport_is_parked_and_mended(tmp_path: Path) -> None:
    arguments = ["--store", f"sqlite:///{tmp_path}/flights.db", "--views", f"sqlite:///{tmp_path}/boards.db"]
    code, _, text = on_a_terminal("demo", "--poison", "--watch", "JFK", "--limit", "200", *arguments)
    assert code == 0
    told = " ".join(text.split())
    assert "cannot process the departure of AA-1141-2013-01-01-JFK." in told
    assert f"dead-letters list --store sqlite:///{tmp_path}/flights.db --views sqlite:///{tmp_path}/boards.db" in told
    assert "2 events are in the views now" in told
    assert " views equal a fold of them." in told
