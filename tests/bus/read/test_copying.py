"""Copying: a copy is equal, shares nothing that could be changed, and costs nothing where nothing could be."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import View
from bus.read.copying import copier


class Colour(Enum):
    RED = 1


class Point(View):
    x: int
    y: float | None = None


class Path(View):
    points: list[Point]
    seen: set[str]
    labels: dict[str, list[int]]


class Open(msgspec.Struct):
    count: int


class Noted(msgspec.Struct, dict=True, frozen=True):
    count: int


@dataclass
class Loose:
    values: list[int] = field(default_factory=list[int])


class Stubborn:
    def __deepcopy__(self, memo: Any) -> "Stubborn":
        raise ValueError("there is only one of me")


NOW = datetime(2013, 1, 1, tzinfo=UTC)

FIXED = [
    None,
    True,
    7,
    1.5,
    "text",
    b"bytes",
    NOW,
    timedelta(1),
    Decimal(1),
    UUID(int=1),
    Colour.RED,
    Point(1),
    (Point(1), (2, 3)),
    frozenset({1}),
]


@pytest.mark.parametrize("value", FIXED, ids=repr)
def test_what_nobody_can_change_is_given_itself(value: Any) -> None:
    assert copier(value)() is value


@pytest.mark.parametrize("value", FIXED, ids=repr)
def test_a_list_is_copied_and_what_nobody_can_change_in_it_is_not(value: Any) -> None:
    copied = copier([value])()
    copied.append(1)
    assert copied[0] is value
    assert copier({"key": value})()["key"] is value


def test_what_can_be_changed_is_copied_however_deep_it_is() -> None:
    held = Path([Point(1)], {"a"}, {"b": [1]})
    master = [(held, [held])]
    take = copier(master)
    for _ in range(2):
        ((one, others),) = take()
        assert (one, others) == (held, [held])
        one.points.append(Point(9))
        one.seen.add("z")
        one.labels["b"].append(9)
        one.labels["c"] = []
        others.clear()
    assert held == Path([Point(1)], {"a"}, {"b": [1]})


@pytest.mark.parametrize("value", [Open(1), Noted(1), Loose([1]), {(1, 2): Open(1)}, [{1}, {2}]], ids=repr)
def test_objects_of_other_kinds_are_copied_as_well(value: Any) -> None:
    take = copier(value)
    assert take() == value
    assert take() is not value
    assert take() is not take()


def test_a_struct_that_is_not_frozen_is_another_one_each_time() -> None:
    take = copier(Open(1))
    take().count = 2
    assert take().count == 1


def test_what_cannot_be_copied_says_so_before_anybody_is_given_it() -> None:
    with pytest.raises(ValueError, match="there is only one of me"):
        copier([Stubborn()])


values = st.recursive(
    st.none() | st.integers() | st.text() | st.builds(Point, st.integers()),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(), inner)
        | st.builds(Path, st.lists(st.builds(Point, st.integers())), st.sets(st.text()), st.just({}))
    ),
    max_leaves=20,
)


def changeable(value: Any) -> dict[int, Any]:
    """All below a value that could be changed, by identity."""
    parts: list[Any] = []
    if isinstance(value, list | tuple | set):
        parts = list(value)
    elif isinstance(value, dict):
        parts = list(value.values())
    elif isinstance(value, msgspec.Struct):
        parts = [getattr(value, name) for name in value.__struct_fields__]
    own = {id(value): value} if isinstance(value, list | dict | set) else {}
    for part in parts:
        own |= changeable(part)
    return own


@given(values)
def test_copies_are_equal_and_share_nothing_that_could_be_changed(value: Any) -> None:
    take = copier(value)
    one, other = take(), take()
    assert one == other == value
    assert not changeable(one).keys() & changeable(other).keys()
    assert not changeable(one).keys() & changeable(value).keys()
