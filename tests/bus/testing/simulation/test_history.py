"""Histories: lines that are the same in every process, and a digest of them."""

from typing import Any

from bus import Command
from bus.testing.simulation.history import History, shown


class Wish(Command):
    name: str
    among: Any


def history(*lines: str) -> History:
    made = History(7)
    made.clock = lambda: (1.5, "2")
    for line in lines:
        made.note("kind", line)
    return made


def test_a_line_tells_when_in_which_life_and_what() -> None:
    assert history("of thing").lines == ["    1.5000   2  kind of thing"]
    assert history("a", "b").counts["kind"] == 2


def test_the_digest_is_the_same_for_the_same_lines_alone() -> None:
    assert history("a", "b").digest == history("a", "b").digest
    assert history("a", "b").digest != history("b", "a").digest


def test_the_last_lines_say_how_many_came_before() -> None:
    long = history(*[str(number) for number in range(50)])
    assert long.last(2).splitlines() == ["... 48 lines before", *long.lines[-2:]]
    assert history("a").last(2).splitlines() == history("a").lines


def test_nothing_is_noted_of_a_process_on_its_way_out() -> None:
    made = history("a")
    made.is_open = False
    made.note("kind", "b")
    assert len(made.lines) == 1


def test_a_message_is_shown_in_the_same_words_in_every_process() -> None:
    names = {f"name-{number}" for number in range(20)}
    listed = ",".join([f'"{name}"' for name in sorted(names)])
    assert shown(Wish("x", names)) == f'Wish(name="x", among=[{listed}])'
    assert shown(Wish("x", object())) == "Wish(...)"
