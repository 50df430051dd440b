"""The demo plays records, shows what the read models say, and proves that nothing was lost."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.cli import run, stores
from bus import MemoryEventStore
from tests.adapters.flights.rows import row, write

CANCELLED = row(flight="2", dep_time="", tailnum="NA")
DIVERTED = row(flight="3", arr_delay="NA")
NOWHERE = row(flight="4", dest="EWR")


def summary(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert run(["demo", "--json", *arguments]) == code
    out: dict[str, Any] = json.loads(capsys.readouterr().out)
    return out


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/flights.db"


def test_the_week_is_played_and_nothing_is_lost(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = summary(capsys, "--store", store)
    assert (found["flights"], found["commands"], found["rejected"]) == (6_099, 18_262, 0)
    assert found["events"] == found["event_store_events"] == 18_262
    assert found["by_event"] == {
        "flight-scheduled": 6_099,
        "flight-departed": 6_064,
        "flight-landed": 6_043,
        "flight-diverted": 21,
        "flight-cancelled": 35,
    }
    assert found["by_status"] == {"landed": 6_043, "diverted": 21, "cancelled": 35}
    assert (found["rows_unusable"], found["duplicates"], found["projection_lag_events"]) == (0, 0, 0)
    assert found["views_match"] is found["nothing_lost"] is True
    assert found["store"] == store
    assert found["commands_per_second"] == pytest.approx(found["commands"] / found["seconds"], rel=0.01)


def test_a_second_run_on_the_same_store_records_nothing_twice(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = summary(capsys, "--store", store, "--limit", "200")
    again = summary(capsys, "--store", store, "--limit", "200")
    assert (again["events"], again["by_event"], again["rejected"]) == (0, {}, 0)
    assert again["duplicates"] == again["commands"] == first["commands"]
    assert again["event_store_events"] == again["event_store_events_before"] == first["event_store_events"]
    assert again["by_status"] == first["by_status"]
    assert again["nothing_lost"] is True


def test_a_run_with_more_flights_continues_the_store(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = summary(capsys, "--store", store, "--limit", "100")
    more = summary(capsys, "--store", store, "--limit", "150")
    assert more["duplicates"] == first["commands"]
    assert more["events"] == more["commands"] - first["commands"]
    assert sum(more["by_status"].values()) == 150


def test_rows_that_cannot_be_used_are_reported_with_line_and_reason(
    tmp_path: Path, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "file.csv", row(), row(), CANCELLED, row(month="13"), DIVERTED)
    assert run(["demo", "--json", "--input", str(path), "--store", store]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["flights"], found["rows_unusable"]) == (3, 2)
    assert [bad["line"] for bad in found["unusable"]] == [3, 5]
    assert found["by_status"] == {"landed": 1, "diverted": 1, "cancelled": 1}
    assert f"{path}:3: left out: it is the same flight as line 2" in captured.err
    assert f"{path}:5: left out: there is no day 2013-13-1" in captured.err


def test_rejected_commands_are_counted_and_told(tmp_path: Path, store: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "file.csv", row(), NOWHERE)
    assert run(["demo", "--json", "--input", str(path), "--store", store]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["commands"], found["events"], found["rejected"]) == (6, 3, 3)
    assert found["rejected_by_code"] == {"rejected.same-airport": 1, "rejected.not-scheduled": 2}
    assert "rejected: flight UA-4-2013-01-01-EWR cannot lead from EWR to EWR" in captured.err


def test_a_row_that_was_changed_since_is_refused_and_not_recorded_again(
    tmp_path: Path, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "file.csv", row())
    summary(capsys, "--input", str(path), "--store", store)
    write(path, row(tailnum="N1"))
    found = summary(capsys, "--input", str(path), "--store", store)
    assert found["rejected_by_code"] == {"command-id-reused": 1}
    assert (found["events"], found["duplicates"], found["nothing_lost"]) == (0, 2, True)


def test_a_file_with_a_header_alone_is_played_too(
    tmp_path: Path, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = summary(capsys, "--input", str(write(tmp_path / "file.csv")), "--store", store)
    assert (found["flights"], found["events"], found["nothing_lost"]) == (0, 0, True)
    assert run(["demo", "--input", str(tmp_path / "file.csv"), "--store", store]) == 0


def test_a_run_in_memory_needs_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "file.csv", row(), CANCELLED, DIVERTED)
    found = summary(capsys, "--input", str(path), "--store", "memory:")
    assert (found["store"], found["views"], found["event_store_events"]) == ("memory:", "memory:", 8)
    assert found["nothing_lost"] is True


def test_without_a_store_a_new_one_is_made_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    urls = {summary(capsys, "--limit", "3")["store"] for _ in range(2)}
    assert len(urls) == 2
    for url in urls:
        assert Path(url.removeprefix("sqlite:///")).is_relative_to(tmp_path)
        assert Path(url.removeprefix("sqlite:///")).exists()


def test_people_get_boards_tables_and_a_proof_without_colour_or_bars(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["demo", "--limit", "500", "--store", store]) == 0
    captured = capsys.readouterr()
    for airport in ("EWR", "JFK", "LGA"):
        assert f"Departures from {airport}" in captured.out
    assert "UA United Air Lines Inc." in captured.out
    assert "JFK-LAX" in captured.out
    assert "Aircraft N" in captured.out
    assert "500 flights played as " in captured.out
    assert "Nothing is lost" in captured.out
    assert store in captured.out
    assert "\x1b" not in captured.out + captured.err
    assert captured.err == ""
    assert run(["demo", "--limit", "500", "--store", store]) == 0
    assert "were recorded already and recorded nothing again" in " ".join(capsys.readouterr().out.split())


def test_boards_show_what_happened_in_local_time(
    tmp_path: Path, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "file.csv", row(), CANCELLED, DIVERTED)
    assert run(["demo", "--input", str(path), "--store", store]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "01 Jan 05:15 UA 1545 IAH N14228 landed 05:17 +2 min +11 min" in lines
    assert "01 Jan 05:15 UA 2 IAH cancelled" in lines
    assert "01 Jan 05:15 UA 3 IAH N14228 diverted 05:17 +2 min" in lines


def test_lost_events_are_told_and_fail_the_run(
    store: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(MemoryEventStore):
        async def page(self, after: int, limit: int) -> Sequence[Any]:
            return [stored for stored in await super().page(after, limit) if stored.position != 2]

    monkeypatch.setattr(stores, "event_store", lambda url: Forgetful())
    assert run(["demo", "--store", "memory:", "--limit", "3"]) == 1
    captured = capsys.readouterr()
    assert "SOMETHING IS WRONG" in captured.out
    assert "fault: after position 1 comes 3" in captured.err
    assert "Traceback" not in captured.err


def test_a_board_to_watch_is_told_by_lines_where_there_is_no_terminal(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["demo", "--limit", "300", "--store", store, "--watch", "ewr", "--speed", "1e9"]) == 0
    captured = capsys.readouterr()
    lines = [line for line in captured.out.splitlines() if line.startswith("EWR ")]
    assert lines[-1].endswith(" 0 events behind: 20 landed")
    assert "position 900, " in lines[-1]
    assert "300 flights played as 900 commands" in captured.out
    assert "Nothing is lost: 900 events" in captured.out
    assert "\x1b" not in captured.out + captured.err


def test_an_airport_without_flights_is_refused_by_the_names_of_those_that_have_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "flights.db"
    assert run(["demo", "--limit", "50", "--store", f"sqlite:///{path}", "--watch", "LHR"]) == 2
    assert capsys.readouterr().err == (
        "doubledecker: no flight of the input departs from 'LHR', so there is no board to watch: its airports are "
        "EWR, JFK, LGA\n"
    )
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--watch", "EWR", "--json"], "--watch writes a board to standard output, and --json nothing but JSON"),
        (["--keep"], "it needs --poison"),
        (["--poison", "--keep", "--store", "memory:"], "memory: is forgotten at the end"),
        (["--speed", "0"], "Must be > 0"),
        (["--speed", "nan"], "--speed"),
        (["--speed", "inf"], "Must be <="),
    ],
)
def test_what_cannot_go_together_is_refused(arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", *arguments]) == 2
    captured = capsys.readouterr()
    assert why in captured.err
    assert captured.out == ""
