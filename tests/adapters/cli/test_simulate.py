"""Simulate on the command line: a history from its seed, many at a time, and failures that can be seen again."""

import os
import sys
import textwrap
from pathlib import Path

import pytest

from adapters.cli import run, simulate

SHOP = ("--app", "tests.simulation.shop:SHOP", "--workload", "tests.simulation.shop:shopping")


def simulated(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run(["simulate", *arguments]) == code
    return capsys.readouterr().out


def test_one_history_is_written_out_and_is_the_same_again(capsys: pytest.CaptureFixture[str]) -> None:
    first = simulated(capsys, *SHOP, "--seed", "4", "--commands", "30")
    assert first == simulated(capsys, *SHOP, "--seed", "4", "--commands", "30")
    assert "send 1 " in first
    assert "Seed 4 keeps every promise" in first
    assert first != simulated(capsys, *SHOP, "--seed", "5", "--commands", "30")


def test_several_buses_share_the_stores_of_a_history(capsys: pytest.CaptureFixture[str]) -> None:
    out = simulated(capsys, *SHOP, "--seed", "4", "--commands", "30", "--buses", "2")
    assert " A1  send " in out
    assert " B1  send " in out


def test_many_histories_are_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    out = simulated(capsys, "--seeds", "3", "--commands", "20")
    assert out.startswith("3 histories from seed 0 on keep every promise. Among what happened: ")
    assert len(out.splitlines()) == 1


BROKEN = """
from tests.simulation.shop import *

def hasty(command: ItemCommand, item: Item) -> Sequence[ItemEvent]:
    if item.left > 3:
        raise KeyError("more than three")
    return decide(command, item)

ITEM = Decider(category="item", initial=Item(), identify=lambda c: c.item, decide=hasty, evolve=evolve)
BROKEN = Application(deciders=[ITEM])
"""


def test_a_failure_is_told_with_its_seed_its_length_and_its_last_lines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_shop.py").write_text(textwrap.dedent(BROKEN))
    monkeypatch.syspath_prepend(os.getcwd())
    monkeypatch.chdir(tmp_path)
    out = simulated(capsys, "--app", "broken_shop:BROKEN", "--seed", "10", "--seeds", "5", code=1)
    assert "Seed 10 failed: " in out
    assert "more than three" in out
    assert "Seed 10 with " in out
    assert "What happened last" in out
    sys.modules.pop("broken_shop")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--app", "nowhere:NOTHING"], "there is no module nowhere"),
        (["--workload", "shopping"], "'shopping' names no workload"),
        (["--workload", "tests.simulation.shop:nothing"], "has no function nothing for the workload"),
        (["--seeds", "0"], "Must be >= 1"),
        (["--seed", "-1"], "Must be >= 0"),
        (["--buses", "0"], "Must be >= 1"),
        (["--buses", "27"], "Must be <= 26"),
    ],
)
def test_what_is_asked_wrongly_gets_a_message(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["simulate", *arguments]) == 2
    assert expected in capsys.readouterr().err


def test_whoever_watches_many_sees_how_far_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert simulate._followed(range(5)) == range(5)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(simulate._followed(range(5))) == [0, 1, 2, 3, 4]
    assert simulate._followed(range(1)) == range(1)
