"""The live board shows what the bus answers, true at each position, and comes to an end in order."""

import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from rich.console import Console

from adapters.cli import run
from adapters.demo.command import WEEK
from adapters.demo.live import ASKED, LINES_MAX, Frame, LiveBoard, live_board, shown
from adapters.demo.playing import Tally, chunks_of
from adapters.demo.traffic import TRAFFIC
from adapters.flights import commands, read_flights
from bus import Bus, MemoryViewStore, StoreUnavailable
from bus.testing import virtual_time
from domain.flight import Airport, FlightId, Status
from readmodels.departures import DEPARTURES, Departure
from tests.adapters.cli.processes import MAIN
from tests.adapters.demo.terminals import on_a_terminal
from tests.architecture.tree import ROOT
from tests.readmodels.histories import DEPARTS_AT

EWR = Airport("EWR")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return virtual_time.backend()


def lines(*statuses: Status) -> list[Departure]:
    return [
        Departure(
            flight_id=FlightId(str(number)),
            carrier="UA",
            number=number + 1,
            origin=EWR,
            destination=Airport("IAH"),
            aircraft=None,
            status=status,
            departs_at=DEPARTS_AT + number * timedelta(minutes=1),
            arrives_at=DEPARTS_AT + timedelta(hours=9),
        )
        for number, status in enumerate(statuses)
    ]


LEFT, WAITS = Status.DEPARTED, Status.SCHEDULED


@pytest.mark.parametrize(
    ("board", "first"),
    [
        ([], 0),
        ([WAITS] * 9, 0),
        ([LEFT] * 2 + [WAITS] * 7, 0),
        ([LEFT] * 4 + [WAITS] * 5, 2),
        ([WAITS] * 4 + [LEFT] + [WAITS] * 4, 3),
        ([LEFT] * 8 + [WAITS], 5),
        ([LEFT] * 9, 5),
        ([LEFT] * 3, 0),
    ],
)
def test_half_of_the_lines_shown_have_left_and_the_last_ones_stay(board: list[Status], first: int) -> None:
    assert shown(lines(*board), 4) == first


def test_a_frame_in_words_says_how_far_it_is() -> None:
    frame = Frame(EWR, lines(LEFT, WAITS, WAITS), position=1_234, behind=7, at=None, flights_per_s=1_000.4)
    assert frame.line() == "EWR position 1,234, 1,000 flights/s, 7 events behind: 2 scheduled, 1 departed"
    empty = Frame(EWR, [], position=0, behind=0, at=DEPARTS_AT, flights_per_s=0.0)
    assert empty.line() == "EWR 01 Jan 10:00, position 0, 0 flights/s, 0 events behind: no flights yet"


async def watched(bus: Bus, flights: int, speed: float) -> list[Frame]:
    """What a board of a few lines shows while flights are played."""
    frames: list[Frame] = []
    board = LiveBoard(bus, EWR, frames.append, lines=4)
    played = list(commands(read_flights(WEEK, limit=flights).flights))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(board.follow)
        await Tally().play(bus, chunks_of(played, stop=anyio.Event(), size=64, speed=speed), board.played)
        await bus.wait_settled()
        tasks.cancel_scope.cancel()
    await board.finish()
    return frames


@pytest.mark.parametrize("speed", [3_600.0, 100_000.0])
async def test_every_board_shown_is_what_the_events_up_to_its_position_say(speed: float) -> None:
    async with Bus(TRAFFIC) as bus:
        frames = await watched(bus, 1_100, speed)
        events = [recorded async for recorded in bus.events()]
    assert len({frame.position for frame in frames}) > 3
    views: dict[str, Any] = {}
    remaining = iter(events)
    for before, frame in zip([0, *[frame.position for frame in frames]], frames, strict=False):
        for _ in range(frame.position - before):
            recorded: Any = next(remaining)
            views[recorded.stream_id] = DEPARTURES.project(views.get(recorded.stream_id), recorded, recorded.stream_id)
        for line in frame.board:
            assert line == views[line.flight_id]
        assert [line.departs_at for line in frame.board] == sorted(line.departs_at for line in frame.board)
    last = frames[-1]
    assert (last.position, last.behind) == (len(events), 0)
    # It has moved on to the flights that leave last, with more in between than one question asks for.
    board = sorted(
        (view for view in views.values() if view.origin == EWR), key=lambda view: (view.departs_at, view.flight_id)
    )
    assert len(board) > ASKED
    assert list(last.board) == board[-4:]


class FailingReader(MemoryViewStore):
    """Can be read a few times."""

    reads = 3

    def snapshot(self) -> Any:
        self.reads -= 1
        if self.reads < 0:
            raise StoreUnavailable("the disk is gone", store=self.url)
        return super().snapshot()


async def test_a_board_that_cannot_be_read_stops_the_playing_and_says_why() -> None:
    stop = anyio.Event()
    played = list(commands(read_flights(WEEK, limit=200).flights))
    tally = Tally()
    async with Bus(TRAFFIC, view_store=FailingReader()) as bus:
        with pytest.raises(StoreUnavailable, match="the disk is gone"):
            async with live_board(bus, EWR, Console(), stop) as board:
                await tally.play(bus, chunks_of(played, stop=stop, size=64, speed=60.0), board.played)
    assert stop.is_set()
    assert tally.commands < len(played)


def test_on_a_terminal_the_board_stays_in_its_place_until_all_have_left(tmp_path: Path) -> None:
    code, written, text = on_a_terminal(
        "demo", "--store", f"sqlite:///{tmp_path}/flights.db", "--limit", "300", "--watch", "EWR", "--speed", "1e6"
    )
    assert code == 0
    frames = [part.split("events behind")[0] for part in text.split("Departures from EWR, local time")[1:-1]]
    assert len(frames) > 1
    # The cursor goes back to the first line.
    assert "\x1b[1A" in written
    words = " ".join(frames[-1].split())
    assert "01 Jan 12:00 B6 1174 JetBlue Airways BOS landed 11:54 -6 min" in words
    assert re.search(r"02 Jan 10:01, position 900, [\d,]+ flights/s, 0$", words)
    assert len(re.findall(r"\d\d Jan \d\d:\d\d [A-Z0-9]{2} \d+ ", words)) == LINES_MAX
    assert "300 flights played as 900 commands" in text
    assert "Nothing is lost: 900 events" in text


def test_a_terminal_whose_cursor_cannot_go_back_gets_lines(tmp_path: Path) -> None:
    arguments = ["--store", f"sqlite:///{tmp_path}/flights.db", "--limit", "300", "--watch", "EWR"]
    code, written, text = on_a_terminal("demo", *arguments, term="dumb")
    assert code == 0
    assert " 0 events behind: 20 landed\r\n" in text
    assert "\x1b[1A" not in written


def test_a_low_terminal_gets_a_board_that_fits(tmp_path: Path) -> None:
    arguments = ["--store", f"sqlite:///{tmp_path}/flights.db", "--limit", "300", "--watch", "EWR"]
    code, _, text = on_a_terminal("demo", *arguments, rows=15, columns=80)
    assert code == 0
    last = text.split("Departures from EWR, local time")[-2].split("events behind")[0]
    assert len(re.findall(r"\d\d Jan \d\d:\d\d +[A-Z0-9]{2} \d+ ", last)) == 6
    assert max(len(line) for line in last.splitlines()) <= 80


def test_an_interrupt_ends_it_in_order_and_the_store_goes_on_from_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = f"sqlite:///{tmp_path}/flights.db"
    arguments = ["--store", store, "--limit", "500", "--watch", "EWR", "--speed", "60"]
    code, _, text = on_a_terminal("demo", *arguments, interrupt_at="01 Jan 05:1")
    assert code == 0
    assert "a second signal ends it at once" in text
    told = " ".join(text.split())
    left = re.search(r"It was interrupted: ([0-9,]+) commands are left", told)
    assert left is not None
    assert "Nothing is lost" in told
    assert run(["demo", "--json", "--store", store, "--limit", "500"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["events"] == int(left[1].replace(",", ""))
    assert found["nothing_lost"] is True


def test_who_reads_no_more_ends_it_in_order_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = f"sqlite:///{tmp_path}/flights.db"
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, "demo", "--store", store, "--limit", "500", "--watch", "EWR", "--speed", "600"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"EWR ")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141
    assert run(["demo", "--json", "--store", store, "--limit", "500"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["nothing_lost"] is True
    assert found["event_store_events"] == found["commands"] > found["events"]
