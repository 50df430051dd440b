"""Differences are the smallest parts in which two values differ, each told with its place."""

from collections.abc import Mapping
from typing import Any

import pytest

from bus.core import Message
from bus.testing.differences import NOTHING, Difference, differences, lines_of, lines_of_sequences, told

NAN = float("nan")


class Leg(Message):
    to: str
    minutes: float = 0


class Trip(Message):
    name: str
    legs: tuple[Leg, ...] = ()
    notes: Mapping[str, Any] = {}


class Tour(Trip):
    """Of another type, with the same fields."""


@pytest.mark.parametrize(
    "value", [1, None, "text", Leg("IAH"), Trip("a", (Leg("IAH"),), {"x": [1]}), [1, 2], Leg("IAH", NAN), {"a": NAN}]
)
def test_a_value_does_not_differ_from_its_like(value: object) -> None:
    assert differences(value, value, "it") == []


def test_not_a_number_does_not_differ_from_another_one() -> None:
    assert differences(Leg("IAH", float("nan")), Leg("IAH", float("nan")), "it") == []


@pytest.mark.parametrize(
    ("expected", "actual", "found"),
    [
        (1, 2, [("it", 1, 2)]),
        (Leg("IAH", 5), Leg("IAH", 6), [("it.minutes", 5, 6)]),
        (Leg("IAH", 5), Leg("MIA", 6), [("it.to", "IAH", "MIA"), ("it.minutes", 5, 6)]),
        (Trip("a", (Leg("IAH"),)), Trip("a", (Leg("MIA"),)), [("it.legs[0].to", "IAH", "MIA")]),
        (Trip("a"), Trip("a", (Leg("MIA"),)), [("it.legs[0]", NOTHING, Leg("MIA"))]),
        (Trip("a", (Leg("MIA"),)), Trip("a"), [("it.legs[0]", Leg("MIA"), NOTHING)]),
        (
            Trip("a", notes={"x": 1, "y": 2}),
            Trip("a", notes={"y": 3, "z": 4}),
            [("it.notes['x']", 1, NOTHING), ("it.notes['y']", 2, 3), ("it.notes['z']", NOTHING, 4)],
        ),
        (Trip("a"), Tour("a"), [("it", Trip("a"), Tour("a"))]),
        ([1], (1,), [("it", [1], (1,))]),
        ([1, 2, 3], [1, 5, 3], [("it[1]", 2, 5)]),
        ({"a": 1}, None, [("it", {"a": 1}, None)]),
    ],
)
def test_only_what_differs_is_told_with_its_place(
    expected: object, actual: object, found: list[tuple[str, object, object]]
) -> None:
    assert differences(expected, actual, "it") == [Difference(*one) for one in found]


def test_lines_name_the_type_and_set_both_values_below_each_other() -> None:
    assert lines_of(Leg("IAH", 5), Leg("IAH", 6)) == ["Leg.minutes", "  expected 5", "  but was  6"]
    assert lines_of(Leg("IAH"), None, "event 1")[0] == "event 1"


def test_what_is_not_there_is_called_nothing() -> None:
    assert lines_of([1], []) == ["list[0]", "  expected 1", "  but was  nothing"]


A, B, C = Leg("A"), Leg("B"), Leg("C")


@pytest.mark.parametrize(
    ("expected", "actual", "lines"),
    [
        ([A, B, C], [A, B, C], []),
        ([], [], []),
        ([A, B, C], [A, C], [f"event 2 is missing: {B!r}"]),
        ([A, C], [A, B, C], [f"event 2 was not expected: {B!r}"]),
        ([A], [A, A], [f"event 2 was not expected: {A!r}"]),
        ([], [A], [f"event 1 was not expected: {A!r}"]),
        ([A, B], [], [f"event 1 is missing: {A!r}", f"event 2 is missing: {B!r}"]),
        ([A, B], [A, C], ["event 2, Leg.to", "  expected 'B'", "  but was  'C'"]),
        ([A, Trip("x")], [A, B], ["event 2", f"  expected {Trip('x')!r}", f"  but was  {B!r}"]),
        (
            [A, B, A],
            [A, C, C, A],
            ["event 2, Leg.to", "  expected 'B'", "  but was  'C'", f"event 3 was not expected: {C!r}"],
        ),
    ],
)
def test_events_that_are_missing_or_too_many_are_told_once(
    expected: list[object], actual: list[object], lines: list[str]
) -> None:
    assert lines_of_sequences(expected, actual, "event") == lines


def test_a_sentence_stands_above_its_lines() -> None:
    assert told("they differ:", ["one", "  two"]) == "they differ:\n  one\n    two"
