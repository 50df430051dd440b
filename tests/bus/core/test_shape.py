"""Shapes: the same for whatever is encoded the same, another for whatever is not."""

import enum
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
import pytest

from bus import Event
from bus.core.messages import TAG_FIELD
from bus.core.shape import differences, digest_of, shape_of


class Side(enum.Enum):
    LEFT = "left"


class Point(msgspec.Struct):
    """Where something is."""

    x: int
    y: int = 0


class Place(msgspec.Struct):
    x: int
    y: int = 0


class Tree(msgspec.Struct):
    title: str
    below: list["Tree"] = []


class Circle(msgspec.Struct, tag="circle"):
    at: Point


class Square(msgspec.Struct, tag="square"):
    at: Point


class Drawn(Event, tag="drawn"):
    """Something was drawn."""

    at: Point
    when: datetime
    what: Circle | Square
    side: Side = Side.LEFT
    trees: tuple[Tree, ...] = ()


class Painted(Event, tag="drawn"):
    at: Place
    when: Annotated[datetime, msgspec.Meta(description="of the clock")]
    what: Circle | Square
    side: Side = Side.LEFT
    trees: tuple[Tree, ...] = ()


def test_names_of_classes_are_no_part_of_a_shape() -> None:
    assert shape_of(Drawn) == shape_of(Painted)
    assert digest_of(Drawn) == digest_of(Painted)
    assert "Point" not in str(shape_of(Drawn))


def test_a_type_may_contain_itself_and_a_default_is_part_of_it() -> None:
    assert shape_of(Tree) == {
        "type": "record",
        "fields": {
            "title": {"type": "str"},
            "below": {"type": "list", "item_type": {"type": "above", "levels": 1}, "default": []},
        },
    }


def test_a_shape_survives_being_written_down() -> None:
    for kind in (Drawn, Tree):
        assert msgspec.json.decode(msgspec.json.encode(shape_of(kind))) == shape_of(kind)


def shape(**fields: Any) -> Any:
    return shape_of(msgspec.defstruct("Any", list(fields.items()), tag="a", tag_field=TAG_FIELD))


def with_default(kind: Any, default: Any) -> Any:
    return msgspec.defstruct("Any", [("a", int), ("b", kind, default)], tag="a", tag_field=TAG_FIELD)


@pytest.mark.parametrize(
    ("after", "found"),
    [
        (shape(a=int), ()),
        (shape_of(with_default(str, "")), ()),
        (shape(a=int, b=str), ("field 'b' has no default",)),
        (shape(a=str), ("field 'a' is another",)),
        (shape(a=int | None), ("field 'a' is another",)),
        (shape(b=int), ("field 'a' is gone", "field 'b' has no default")),
        (shape(), ("field 'a' is gone",)),
    ],
)
def test_differences_are_whatever_makes_old_bytes_mean_something_else(after: Any, found: tuple[str, ...]) -> None:
    assert differences(shape(a=int), after) == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (str, datetime),
        (datetime, Annotated[datetime, msgspec.Meta(tz=True)]),
        (int, float),
        (int, int | None),
        (list[int], list[str]),
        (dict[str, int], dict[str, str]),
        (tuple[int, str], tuple[str, int]),
        (Side, str),
        (Circle, Square),
        (Circle, Point),
        (Annotated[int, msgspec.Meta(ge=0)], int),
        (timedelta, str),
        (bytes, str),
        (Literal["a"], Literal["b"]),
    ],
)
def test_what_is_read_differently_has_another_shape(one: Any, other: Any) -> None:
    assert differences(shape(a=one), shape(a=other)) == ("field 'a' is another",)
    assert digest_of(one) != digest_of(other)
    assert digest_of(one) == digest_of(one)


def test_another_default_is_a_difference_and_so_is_none() -> None:
    before = shape_of(with_default(str, "x"))
    assert differences(before, shape_of(with_default(str, "y"))) == ("field 'b' is another",)
    assert differences(before, shape(a=int, b=str)) == ("field 'b' is another",)
    made = shape_of(with_default(list[int], msgspec.field(default_factory=lambda: [1])))
    assert differences(made, shape(a=int, b=list[int])) == ("field 'b' is another",)
    assert differences(shape(a=int), made) == ()


def test_a_nested_field_is_part_of_the_shape() -> None:
    assert differences(shape(at=Point), shape(at=Circle)) == ("field 'at' is another",)


def test_what_encodes_as_something_else_than_an_object_is_a_difference() -> None:
    as_array = msgspec.defstruct("Any", [("a", int)], array_like=True)
    assert differences(shape(a=int), shape_of(as_array)) == ("more than its fields is another",)
