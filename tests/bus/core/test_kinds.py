"""The kinds of a field's values are those of its type, and tell in what a range makes sense."""

import enum
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
import pytest

from bus.core.kinds import kind_of, kinds_of, name_of


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    SMALL = 1


class Grade(enum.StrEnum):
    A = "a"


@pytest.mark.parametrize(
    ("annotation", "kinds"),
    [
        (str, {str}),
        (int, {float}),
        (bool | None, {float}),
        (float | str, {float, str}),
        (datetime | None, {datetime}),
        (date, {date}),
        (time, {time}),
        (timedelta, {timedelta}),
        (UUID, {UUID}),
        (None, set()),
        (Colour | None, {Colour}),
        (Size, {float}),
        (Grade, {str}),
        (Literal["a", 1, None], {str, float}),
        (list[int], None),
        (int | list[int], None),
        (Any, None),
        (bytes, None),
    ],
)
def test_a_field_has_the_kinds_of_its_type(annotation: Any, kinds: set[type] | None) -> None:
    found = kinds_of(msgspec.inspect.type_info(annotation))
    assert found == (None if kinds is None else frozenset(kinds))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("a", str),
        (1, float),
        (True, float),
        (1.5, float),
        (Grade.A, str),
        (Size.SMALL, float),
        (datetime(2013, 1, 1, tzinfo=UTC), datetime),
        (date(2013, 1, 1), date),
        (time(12), time),
        (time(12, tzinfo=UTC), None),
        (timedelta(1), timedelta),
        (UUID(int=1), UUID),
        (Colour.RED, None),
        (None, None),
        (b"a", None),
    ],
)
def test_a_value_has_a_kind_where_it_is_in_an_order_with_others(value: object, kind: type | None) -> None:
    assert kind_of(value) is kind


def test_kinds_have_names_for_people() -> None:
    assert [name_of(kind) for kind in (str, float, datetime, UUID, Colour)] == [
        *("texts", "numbers", "datetimes", "UUIDs", "Colours")
    ]
