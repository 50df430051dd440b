"""Differences: what distinguishes two values, field by field, in lines for people."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

INDENT = "  "


class _Nothing:
    """What stands in the place of a value that one side does not have."""

    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()


class Difference(msgspec.Struct, frozen=True):
    """One place in which two values differ."""

    path: str
    """`Flight.plan.legs[2]`."""
    expected: object
    actual: object

    def lines(self) -> list[str]:
        """The place and, below each other, what was expected there and what there is."""
        return [self.path, f"{INDENT}expected {self.expected!r}", f"{INDENT}but was  {self.actual!r}"]


def differences(expected: Any, actual: Any, path: str) -> list[Difference]:
    """The smallest parts in which the two differ; none where they are equal.

    Structs of one type are compared field by field, mappings key by key, lists and tuples element by element. Not a
    number is equal to itself.
    """
    if expected is actual or _equal(expected, actual):
        return []
    is_same = type(expected) is type(actual)
    if is_same and _is(expected, msgspec.Struct):
        fields = expected.__struct_fields__
        parts = [(f".{name}", getattr(expected, name), getattr(actual, name)) for name in fields]
    elif _is(expected, Mapping) and _is(actual, Mapping):
        keys = [*expected, *(key for key in actual if key not in expected)]
        parts = [(f"[{key!r}]", expected.get(key, NOTHING), actual.get(key, NOTHING)) for key in keys]
    elif is_same and (_is(expected, list) or _is(expected, tuple)):
        places = range(max(len(expected), len(actual)))
        parts = [(f"[{place}]", _at(expected, place), _at(actual, place)) for place in places]
    else:
        return [Difference(path, expected, actual)]
    return [found for step, one, other in parts for found in differences(one, other, path + step)]


def lines_of(expected: object, actual: object, path: str | None = None) -> list[str]:
    """The differences as lines; a path begins with the name of the type unless another is given."""
    found = differences(expected, actual, path or type(expected).__name__)
    return [line for difference in found for line in difference.lines()]


def lines_of_sequences(expected: Sequence[object], actual: Sequence[object], what: str) -> list[str]:
    """The differences of two sequences whose elements have a place of their own, such as events.

    What is equal at their beginning and end is left out, so that one element too many or too few is one difference.
    """
    begin = 0
    while begin < min(len(expected), len(actual)) and not differences(expected[begin], actual[begin], ""):
        begin += 1
    end = 0
    while end < min(len(expected), len(actual)) - begin and not differences(expected[-1 - end], actual[-1 - end], ""):
        end += 1
    lines: list[str] = []
    for place in range(begin, max(len(expected), len(actual)) - end):
        one = expected[place] if place < len(expected) - end else NOTHING
        other = actual[place] if place < len(actual) - end else NOTHING
        if one is NOTHING:
            lines.append(f"{what} {place + 1} was not expected: {other!r}")
        elif other is NOTHING:
            lines.append(f"{what} {place + 1} is missing: {one!r}")
        else:
            kind = f", {type(one).__name__}" if type(one) is type(other) else ""
            lines += lines_of(one, other, f"{what} {place + 1}{kind}")
    return lines


def told(what: str, lines: Sequence[str]) -> str:
    """A sentence and, below it, its lines."""
    return "\n".join([what, *(INDENT + line for line in lines)])


def _at(values: Any, place: int) -> object:
    return values[place] if place < len(values) else NOTHING


def _equal(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)  # noqa: PLR0124  # Only NaN differs from itself.


def _is(value: object, kind: type) -> bool:
    """Without narrowing, after which a type checker knows less than before."""
    return isinstance(value, kind)
