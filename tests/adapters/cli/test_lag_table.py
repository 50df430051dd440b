"""The lag table says in a line what is to be known of a build, and below it what is wrong."""

from datetime import timedelta

import pytest
from rich.console import Console

from adapters.cli.builds import Row
from adapters.cli.lag_table import duration, lag_table
from tests.adapters.cli.ledgers import NOON, row


def shown(*rows: Row) -> list[str]:
    console = Console(width=160, force_terminal=False)
    with console.capture() as captured:
        console.print(lag_table(rows, NOON))
    return [line.rstrip() for line in captured.get().splitlines() if line.strip(" ─")]


def test_a_line_for_each_build() -> None:
    heading, line, other = shown(row(), row(version=2, build=3, lag_events=0, retries=0, parked_keys=0))
    assert heading.split() == (
        ["Views", "State", "Position", "Behind", "Oldest", "Events/s", "Batch", "Retries", "Parked", "Run", "by"]
    )
    assert line.split() == (
        [
            "balances",
            "v1",
            "answering",
            "80",
            "20",
            "2",
            "min",
            "1,234",
            "12",
            "3",
            "2",
            "host/1,",
            "told",
            "5",
            "s",
            "ago",
        ]
    )
    assert other.split()[:5] == ["balances", "v2.3", "answering", "80", "0"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "building"}, "building 80 %, 10 s left"),
        ({"state": "building", "progress_percent": None, "left_s": None}, "building"),
        ({"state": "replaced", "drops_at": NOON + timedelta(minutes=54)}, "replaced, dropped in 54 min"),
        ({"state": "replaced", "drops_at": NOON}, "replaced, about to be dropped"),
        ({"state": "leftover"}, "leftover"),
        ({"stopped": "a bug"}, "answering, stopped"),
        ({"owner": ""}, "nobody, closed 5 s ago"),
        ({"owner": None, "told_at": None}, "nobody yet"),
    ],
)
def test_states_and_owners_in_words(changes: dict[str, object], words: str) -> None:
    assert words in shown(row(**changes))[1]


def test_what_is_wrong_stands_below_in_one_line_each() -> None:
    lines = shown(row(stopped="a\nbug"), row(version=2, last_error="a store \x1b[31m"), row(version=3))
    assert lines[4:] == ["balances v1 stopped: a bug", r"balances v2 is retried: a store \x1b[31m"]


def test_where_there_is_nothing_that_is_said() -> None:
    assert shown() == ["no views"]


def test_what_cannot_be_known_is_left_blank() -> None:
    line = shown(row(lag_events=None, lag_s=None, events_per_s=None, batch_events=None, retries=None))[1]
    assert line.split()[:5] == ["balances", "v1", "answering", "80", "2"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.25, "250 ms"), (12.4, "12 s"), (90, "2 min"), (7_200, "2 h"), (200_000, "2 d")],
)
def test_durations_are_in_the_largest_unit_that_fits(seconds: float, words: str) -> None:
    assert duration(seconds) == words
