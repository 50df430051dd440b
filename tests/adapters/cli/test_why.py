"""`why` answers from the stores, as a tree for people and as JSON for programs."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from adapters.cli import run
from adapters.cli.causes import Cause, Happened, Touched
from adapters.cli.why import tree
from tests.adapters.cli.test_causes import NOON
from tests.adapters.flights.rows import row, write


@pytest.fixture
def store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    url = f"sqlite:///{tmp_path}/flights.db"
    assert run(["demo", "--json", "--store", url, "--input", str(write(tmp_path / "rows.csv", row()))]) == 0
    capsys.readouterr()
    return url


def why(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run(["why", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_command_is_told_with_the_views_that_show_it(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    (cause,) = why(capsys, "1", "--store", store)["causes"]
    assert cause["is_asked"] is True
    (event,) = cause["events"]
    assert (event["position"], event["version"], event["name"]) == (1, 1, "flight-scheduled")
    assert {view["projection"]: view["is_reached"] for view in event["views"]} == dict.fromkeys(
        ["departures", "punctuality", "aircraft-days", "statuses"], True
    )
    again = why(capsys, cause["command_id"], "--store", store)
    assert again["causes"] == [cause]


def test_views_that_are_not_there_have_reached_nothing(
    store: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (cause,) = why(capsys, "1", "--store", store, "--views", f"sqlite:///{tmp_path}/none.db")["causes"]
    assert {view["is_reached"] for view in cause["events"][0]["views"]} == {False}
    assert not (tmp_path / "none.db").exists()
    (cause,) = why(capsys, "1", "--store", store, "--views", "memory:")["causes"]
    assert {view["is_reached"] for view in cause["events"][0]["views"]} == {None}


def test_what_nobody_knows_is_told(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["why", "nobody", "--store", store]) == 1
    assert "has nothing of 'nobody'" in capsys.readouterr().err
    assert run(["why", "nobody", "--store", "memory:"]) == 2


def test_people_get_a_tree() -> None:
    below = Cause(
        command_id="two",
        stream="account-b",
        recorded_at=NOON,
        correlation_id="one",
        causation_id="one",
        trace_id="abc",
        trace_url="http://jaeger/trace/abc",
        is_asked=True,
        events=[Happened(2, 1, "deposited", [Touched("balances", ["b"], False), Touched("journal", None, None)])],
    )
    above = Cause(
        command_id="one",
        stream="account-a",
        recorded_at=NOON,
        correlation_id="one",
        causation_id=None,
        trace_id="abc",
        events=[Happened(1, 1, "deposited", [Touched("balances", ["a"], True)])],
        caused=[below],
    )
    out = Console(width=120, record=True, file=None, force_terminal=False)
    with out.capture() as captured:
        out.print(tree(above))
    text = captured.get()
    assert [line.strip("│├└─ ").rstrip() for line in text.splitlines()] == [
        "account-a  2013-01-01 12:00:00.000000 UTC",
        "command one",
        "trace abc",
        "deposited  version 1  position 1",
        "balances [a]: shown",
        "account-b  2013-01-01 12:00:00.000000 UTC  <- asked for",
        "command two  conversation one  caused by one",
        "trace http://jaeger/trace/abc",
        "deposited  version 1  position 2",
        "balances [b]: not yet",
        "journal",
    ]
