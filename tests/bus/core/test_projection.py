"""Projections: what cannot work is refused when it is written; and the forms in which fields are indexed."""

import enum
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest

from bus import REMOVED, STOP, DefinitionError, Event, Projection, Recorded, Removed, View
from bus.core.projection import index_value


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    SMALL = 1


class Rang(Event, tag="rang"):
    pass


class Unnamed(Event):
    pass


class Row(View):
    name: str
    count: int
    ratio: float | None = None
    colour: Colour = Colour.RED
    size: Size = Size.SMALL
    at: datetime | None = None
    kind: Literal["a", "b"] = "a"
    limited: Annotated[int, msgspec.Meta(ge=0)] = 0
    tags: tuple[str, ...] = ()
    anything: Any = None


class Reserved(View):
    order_by: str
    limit: int


class Odd(View):
    what: complex


def project(view: Row | None, recorded: Recorded[Rang], key: str) -> Row | Removed:
    return REMOVED


def rows(**changes: Any) -> Projection[Any, Any]:
    sound: dict[str, Any] = {
        "name": "rows",
        "version": 1,
        "view": Row,
        "project": project,
        "key": lambda recorded: recorded.stream_id,
        "on_poison": STOP,
    }
    return Projection(**{**sound, **changes})


def test_events_come_from_the_annotation() -> None:
    assert rows().events == (Rang,)


def _two(view: Row | None, recorded: Recorded[Rang]) -> Row: ...


def _bare(view: Row | None, recorded: Rang, key: str) -> Row: ...


def _nothing(view: Row | None, recorded: Recorded[Rang], key: str) -> None: ...


def _unnamed(view: Row | None, recorded: Recorded[Unnamed], key: str) -> Row: ...


def _no_event(view: Row | None, recorded: Recorded[Event], key: str) -> Row: ...


async def _async(view: Row | None, recorded: Recorded[Rang], key: str) -> Row:
    raise NotImplementedError


async def _async_key(recorded: Recorded[Rang]) -> str:
    raise NotImplementedError


def _other_view(view: Reserved | None, recorded: Recorded[Rang], key: str) -> Row:
    raise NotImplementedError


def _other_result(view: Row | None, recorded: Recorded[Rang], key: str) -> Reserved | Removed:
    raise NotImplementedError


def _perhaps(view: Row | None, recorded: Recorded[Rang], key: str) -> Row | None:
    raise NotImplementedError


class Soft(View, frozen=False):  # type: ignore[misc]
    name: str


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Rows"}, "projection 'Rows': a name is lower case words joined by '-', such as 'departures'"),
        ({"name": ""}, "a name is lower case words"),
        ({"version": 0}, "versions are 1, 2, 3, ..., not 0"),
        ({"on_poison": "stop"}, "on_poison must be STOP or PARK, not 'stop'"),
        ({"view": View}, "view must be a subclass of View, not"),
        ({"view": Rang}, "view must be a subclass of View, not"),
        ({"view": Odd}, "view Odd cannot be encoded: <class 'complex'>"),
        ({"view": Reserved}, "a view's field cannot be called limit, order_by; `find` has parameters of that name"),
        ({"indexes": ["name"]}, "indexes must be a tuple of different field names"),
        ({"indexes": ("name", "name")}, "indexes must be a tuple of different field names"),
        ({"indexes": ("name", "nome")}, "Row has no field nome to index"),
        ({"indexes": ("name", ("name",))}, r"an index of several fields names different ones, not \('name',\)"),
        ({"indexes": ("name", ("name", "name"))}, "an index of several fields names different ones"),
        ({"indexes": ("name", ("name", "nome"))}, "must each be an index by itself as well"),
        ({"indexes": (("name", "other"),)}, "must each be an index by itself as well"),
        ({"indexes": ("tags",)}, "field 'tags' cannot be indexed: use a text, number, date"),
        ({"indexes": ("anything",)}, "field 'anything' cannot be indexed"),
        ({"project": _two}, r"project takes \(view, recorded, key\), not 2 parameters"),
        ({"project": _bare}, r"project takes Recorded\[...\] as its second parameter"),
        ({"project": _nothing}, r"project must return Row, or Row \| Removed, not <class 'NoneType'>"),
        ({"project": _perhaps}, r"project must return Row, or Row \| Removed, not .*None"),
        ({"project": _other_result}, r"project must return Row, or Row \| Removed, not .*Reserved"),
        ({"project": _other_view}, r"project takes Row \| None as its first parameter, not .*Reserved"),
        ({"project": _async}, "project must be a plain function, not an async one"),
        ({"key": _async_key}, "key must be a plain function, not an async one"),
        ({"key": "stream_id"}, "key must be a function, not 'stream_id'"),
        ({"view": Soft}, "view Soft must be frozen: leave out frozen=False"),
        ({"name": 5}, "projection 5: a name is lower case words"),
        ({"version": "1"}, "versions are 1, 2, 3, ..., not '1'"),
        ({"indexes": (5,)}, "Row has no field 5 to index"),
        ({"project": _unnamed}, "event Unnamed has no stored name"),
        ({"project": _no_event}, "project's event must be a subclass of Event or a union of such"),
        ({"project": print}, "must be a function or a bound method"),
    ],
)
def test_a_projection_that_cannot_work_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        rows(**changes)


def test_fields_of_plain_types_can_be_indexed() -> None:
    indexes = ("name", "count", "ratio", "colour", "size", "at", "kind", "limited")
    projection = rows(indexes=indexes)
    row = Row("n", 1, 0.5, at=datetime(2013, 1, 1, tzinfo=UTC))
    values = ("n", 1, 0.5, "red", 1, "2013-01-01T00:00:00.000000", "a", 0)
    assert projection.index_values(row) == values
    other = msgspec.structs.replace(row, name="m", count=2**63 - 1)
    assert projection.index_rows([row, other]) == [values, projection.index_values(other)]
    assert rows(indexes=()).index_rows([row, other]) == [(), ()]
    with pytest.raises(TypeError, match="64 bits"):
        projection.index_rows([row, msgspec.structs.replace(row, count=2**63)])


@pytest.mark.parametrize(
    ("value", "indexed"),
    [
        (None, None),
        ("é", "é"),
        (5, 5),
        (True, 1),
        (-(2**63), -(2**63)),
        (0.5, 0.5),
        (float("nan"), None),
        (Colour.RED, "red"),
        (Size.SMALL, 1),
        (datetime(2013, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))), "2013-01-01T10:00:00.000000"),
        (datetime(2013, 1, 1, 12), "2013-01-01T12:00:00.000000"),
        (date(2013, 1, 1), "2013-01-01"),
        (time(1, 2), "01:02:00.000000"),
        (timedelta(seconds=-1), -1_000_000),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    ],
)
def test_values_in_the_form_in_which_stores_compare_them(value: object, indexed: object) -> None:
    assert index_value(value) == indexed
    assert type(index_value(value)) is type(indexed)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, b"x", [], object()])
def test_a_value_that_has_no_such_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="cannot index"):
        index_value(value)


def test_a_projection_knows_the_versions_before_it() -> None:
    first, second = rows(), rows(version=2)
    third = rows(version=5, previous=rows(version=3, previous=first))
    assert (first.versions, second.versions) == ((first,), (second,))
    assert [one.version for one in third.versions] == [5, 3, 1]


@pytest.mark.parametrize(
    ("previous", "why"),
    [
        (rows(name="others"), "but is 'others' version 1"),
        (rows(version=2), "a lower version, but is 'rows' version 2"),
        (rows(version=3), "a lower version, but is 'rows' version 3"),
        (1, "previous must be the projection that this one replaces, not 1"),
    ],
)
def test_what_cannot_have_been_before_is_refused(previous: Any, why: str) -> None:
    with pytest.raises(DefinitionError, match=why):
        rows(version=2, previous=previous)
