"""`why` answers from the stores, as a tree for people and as JSON for programs."""

import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from rich.console import Console

from adapters.cli import run
from adapters.cli import why as why_module
from adapters.cli.causes import Cause, Happened, Touched
from adapters.cli.why import tree
from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bus import PARK, Bus, Limits
from tests.adapters.cli.test_causes import NOON
from tests.adapters.flights.rows import row, write
from tests.bus.read.test_replaying import Switch
from tests.support.ledger import Deposit, balances, ledger


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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
        events=[
            Happened(
                2,
                1,
                "deposited",
                [
                    Touched("balances", ["b"], False),
                    Touched("notes", ["b"], True, ["notes:1:2:b"]),
                    Touched("journal", None, None),
                ],
            )
        ],
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
        "notes [b]: parked as notes:1:2:b",
        "journal",
    ]


async def test_a_letter_leads_to_what_caused_its_command_and_says_that_it_is_parked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a person goes: from the list of dead letters to the command that somebody sent first."""
    monkeypatch.setattr(why_module, "LETTERS_PER_PAGE", 1)
    async with Bus(
        ledger(balances(Switch(2).project, key=lambda recorded: ("x", "y"), on_poison=PARK)),
        event_store=SqliteEventStore(tmp_path / "ledger.db"),
        view_store=SqliteViewStore(tmp_path / "ledger-views.db"),
        limits=Limits(projection_backoff_s=0.001),
    ) as bus:
        first = await bus.send(Deposit("a", 1))
        second = await bus.send(Deposit("b", 2), correlation_id=first.command_id, causation_id=first.command_id)
        await bus.wait_settled()
        store = f"sqlite:///{tmp_path / 'ledger.db'}"
        assert await call("dead-letters", "list", "--store", store) == 0
        ids = [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()]
        assert ids == ["balances:1:2:x", "balances:1:2:y"]
        assert await call("why", ids[0], "--store", store, "--app", "tests.support.ledger:LEDGER", "--json") == 0
        (root,) = json.loads(capsys.readouterr().out)["causes"]
    (below,) = root["caused"]
    assert (root["command_id"], root["is_asked"]) == (first.command_id, False)
    assert (below["command_id"], below["causation_id"], below["is_asked"]) == (
        second.command_id,
        first.command_id,
        True,
    )
    assert [view["parked"] for view in below["events"][0]["views"]] == [ids, []]
    assert [view["parked"] for view in root["events"][0]["views"]] == [[], []]


async def call(*arguments: str) -> int:
    """The exit code of a command that runs while the bus does."""
    return await anyio.to_thread.run_sync(partial(run, list(arguments)))


def test_views_of_an_older_release_say_how_far_they_are_and_no_more(
    store: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "flights-views.db", isolation_level=None)) as views:
        views.execute("DROP TABLE letters")
        views.execute("PRAGMA user_version = 2")
    (cause,) = why(capsys, "1", "--store", store)["causes"]
    assert {(view["is_reached"], *view["parked"]) for view in cause["events"][0]["views"]} == {(True,)}
