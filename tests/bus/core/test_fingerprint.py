"""Fingerprints: equal for equal commands, in every process; different for different ones."""

import enum
import os
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from bus import Command
from bus.core.fingerprint import fingerprint


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Part(msgspec.Struct, frozen=True):
    name: str
    colours: frozenset[Colour] = frozenset()


class Paint(Command):
    wall_id: str
    words: frozenset[str] = frozenset()
    colours: frozenset[Colour] = frozenset()
    by_colour: dict[Colour, int] = msgspec.field(default_factory=dict)
    by_word: dict[str, int] = msgspec.field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    people: frozenset[Part] = frozenset()
    note: str = ""


class Scrape(Command):
    wall_id: str


class PaintLater(Command, tag="paint"):
    """The command of a later release, which has got a field."""

    wall_id: str
    words: frozenset[str] = frozenset()
    coats: int = 1


ELABORATE = Paint(
    "w",
    words=frozenset(["one", "two", "three", "four"]),
    colours=frozenset(Colour),
    by_colour={Colour.RED: 1, Colour.BLUE: 2},
    parts=(Part("p", frozenset(Colour)),),
    people=frozenset([Part("a"), Part("b"), Part("c")]),
)


def test_a_fingerprint_is_four_bytes() -> None:
    assert len(fingerprint(Paint("w"))) == 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Paint("w", words=frozenset([*"ab"])), Paint("w", words=frozenset([*"ba"]))),
        (Paint("w", by_word={"a": 1, "b": 2}), Paint("w", by_word={"b": 2, "a": 1})),
        (Paint("w", by_colour={Colour.RED: 1, Colour.BLUE: 2}), Paint("w", by_colour={Colour.BLUE: 2, Colour.RED: 1})),
        (Paint("w", people=frozenset([Part("a"), Part("b")])), Paint("w", people=frozenset([Part("b"), Part("a")]))),
    ],
    ids=["set", "mapping", "mapping of enums", "set of structs"],
)
def test_equal_commands_have_equal_fingerprints(one: Command, other: Command) -> None:
    assert one == other
    assert fingerprint(one) == fingerprint(other)


def test_sets_that_were_filled_in_another_order_are_equal() -> None:
    numbers: Any = frozenset([0, 8])
    otherwise: Any = frozenset([8, 0])
    assert list(numbers) != list(otherwise), "this test needs another pair"
    assert fingerprint(Paint("w", words=numbers)) == fingerprint(Paint("w", words=otherwise))


@pytest.mark.parametrize(
    "other",
    [
        Paint("v"),
        Scrape("w"),
        Paint("w", note="x"),
        Paint("w", colours=frozenset([Colour.RED])),
        Paint("w", colours=frozenset([Colour.RED, Colour.BLUE])),
        Paint("w", colours=frozenset([Colour.RED, Colour.GREEN])),
        Paint("w", by_colour={Colour.RED: 1}),
        Paint("w", by_colour={Colour.RED: 2}),
        Paint("w", parts=(Part("p"),)),
    ],
)
def test_different_commands_have_different_fingerprints(other: Command) -> None:
    assert fingerprint(Paint("w")) != fingerprint(other)
    assert fingerprint(ELABORATE) != fingerprint(other)
    plain = Paint("w", colours=frozenset(Colour), by_colour={Colour.RED: 1})
    assert fingerprint(plain) != fingerprint(msgspec.structs.replace(plain, note="x"))


def test_a_field_that_a_later_release_adds_changes_nothing_while_it_is_at_its_default() -> None:
    assert fingerprint(Paint("w", words=frozenset("a"))) == fingerprint(PaintLater("w", words=frozenset("a")))
    assert fingerprint(PaintLater("w")) != fingerprint(PaintLater("w", coats=2))


def test_another_process_makes_the_same_fingerprints() -> None:
    code = (
        "from tests.bus.core.test_fingerprint import ELABORATE, Paint, fingerprint; "
        "print(fingerprint(ELABORATE).hex(), fingerprint(Paint('w', words=ELABORATE.words)).hex())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert found == {
        f"{fingerprint(ELABORATE).hex()} {fingerprint(Paint('w', words=ELABORATE.words)).hex()}\n",
    }


def test_values_that_cannot_be_encoded_are_refused() -> None:
    nonsense: Any = object()
    with pytest.raises(TypeError):
        fingerprint(Paint(nonsense))
    with pytest.raises(TypeError):
        fingerprint(Paint("w", colours=frozenset([nonsense])))
