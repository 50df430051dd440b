"""Finding: what a handler asks of `find`, checked and put as a store is asked; and cursors, to text and back."""

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from bus.core.conditions import Bound, OneOf, Range
from bus.core.errors import InvalidCursor, QueryError, ViewNotIndexed
from bus.core.finding import TEXTS_BEGIN, Among, Condition, Interval, Place
from bus.core.kinds import kind_of, name_of
from bus.core.messages import Cursor, View
from bus.core.projection import IndexValue, Projection, index_value
from bus.core.schema import DECODE_ERRORS
from bus.core.stored import text_fault


class Order(msgspec.Struct, frozen=True):
    """In which order views are asked for, and after which place."""

    projection: str
    order_by: str | None
    """As the handler gave it: `"-field"` is descending."""
    after: Place | None

    @property
    def field(self) -> str | None:
        """The indexed field that orders."""
        return None if self.order_by is None else self.order_by.removeprefix("-")

    @property
    def descending(self) -> bool:
        return self.order_by is not None and self.order_by.startswith("-")

    def cursor(self, view: View, key: str) -> Cursor:
        """The place of a view that was found."""
        value = None if self.field is None else index_value(getattr(view, self.field))
        return Cursor(_text(_Mark(1, self.projection, self.order_by, value, key)))


class _Mark(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a cursor says. The first number is the format's."""

    format: Literal[1]
    projection: str
    order_by: str | None
    value: int | float | str | None
    key: str


_decode = msgspec.msgpack.Decoder(_Mark).decode


def order_of(projection: Projection[Any, Any], order_by: str | None, after: str | None) -> Order:
    """Checks the order, and that the cursor is one of it; raises `ViewNotIndexed` or `InvalidCursor`."""
    if order_by is not None and not isinstance(order_by, str):
        raise QueryError(f"find: order_by is the name of an indexed field, not {order_by!r}")
    asked = Order(projection.name, order_by, None)
    if asked.field is not None:
        check_indexed(projection, asked.field)
    if after is None:
        return asked
    view = projection.view.__qualname__
    mark = _mark(after)
    if mark is None:
        raise InvalidCursor(
            f"find: {repr(after)[:60]} is no cursor of this release; take `next` of a page, or begin without `after`",
            view=view,
        )
    if (mark.projection, mark.order_by) != (projection.name, order_by):
        raise InvalidCursor(
            f"find: the cursor is of {mark.projection!r} in the order {mark.order_by!r}, "
            f"not of {projection.name!r} in the order {order_by!r}; ask in its order, or begin without `after`",
            view=view,
        )
    return msgspec.structs.replace(asked, after=Place(mark.value, mark.key))


def _mark(text: object) -> _Mark | None:
    """What a cursor says, where it is one to the last letter."""
    try:
        assert isinstance(text, str)
        packed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        mark = _decode(packed)
        value = index_value(mark.value)
    except (AssertionError, binascii.Error, UnicodeError, TypeError, *DECODE_ERRORS):
        return None
    texts = (mark.key, value) if isinstance(value, str) else (mark.key,)
    is_sound = all(text_fault(one) is None for one in texts) and (value is None) == (mark.value is None)
    return mark if is_sound and text == _text(mark) else None


def _text(mark: _Mark) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(mark)).rstrip(b"=").decode()


def conditions_of(
    projection: Projection[Any, Any], where: Mapping[str, Any], values_max: int
) -> dict[str, IndexValue | Condition]:
    """What a store is asked; raises `QueryError` for what makes no sense, `TypeError` for what no store compares."""
    asked: dict[str, IndexValue | Condition] = {}
    for field, wanted in where.items():
        check_indexed(projection, field)
        if isinstance(wanted, Range):
            asked[field] = _interval(projection, field, wanted)
        elif isinstance(wanted, OneOf):
            if len(wanted.values) > values_max:
                raise QueryError(
                    f"find: {field} is asked to be one of {len(wanted.values)} values, "
                    f"more than Limits.find_values_max, which is {values_max}; ask in parts"
                )
            asked[field] = Among(tuple([index_value(value) for value in wanted.values]))
        else:
            asked[field] = index_value(wanted)
    return asked


def _interval(projection: Projection[Any, Any], field: str, asked: Range) -> Interval:
    bounds = [bound for bound in (asked.low, asked.high) if bound is not None]
    kinds = {_kind(projection, field, bound) for bound in bounds}
    if len(kinds) != 1:
        raise QueryError(f"find: a range of {field} has two bounds of one kind, or one, not {asked!r}")
    low = None if asked.low is None else index_value(asked.low.value)
    high = None if asked.high is None else index_value(asked.high.value)
    # In the order of all values a range ends where its own kind does: numbers before the texts, texts after them.
    if isinstance(low, str) or isinstance(high, str):
        low = TEXTS_BEGIN if low is None else low
    elif high is None:
        high = TEXTS_BEGIN
    low_inside = asked.low is None or asked.low.is_inside
    high_inside = asked.high.is_inside if asked.high is not None else False
    return Interval(low, high, low_inside, high_inside)


def _kind(projection: Projection[Any, Any], field: str, bound: Bound) -> type:
    """The kind of a bound that the field can be held against."""
    value, view = bound.value, projection.view.__qualname__
    if value is None:
        raise QueryError(f"find: None is in no range; views without {field} are found by {field}=None or one_of(None)")
    kind, possible = kind_of(value), projection.index_kinds[field]
    if kind is None:
        # Of what cannot be indexed at all, this says so.
        index_value(value)
        raise QueryError(f"find: there is no range from or to {value!r}, which is in no order; use one_of")
    if isinstance(value, float) and math.isnan(value):
        raise QueryError(f"find: NaN is in no order, so {field} has no range from or to it")
    if isinstance(value, str) and (fault := text_fault(value)) is not None:
        raise QueryError(f"find: {field} has no range from or to {value!r}: it is {fault}")
    if kind not in possible:
        held = " or ".join(sorted(name_of(one) for one in possible)) or "nothing but None"
        raise QueryError(f"find: {view}.{field} has {held}, and so no range from or to {value!r}")
    return kind


def check_indexed(projection: Projection[Any, Any], field: str) -> None:
    """Raises `ViewNotIndexed`, with what to declare, for a field by which views are not found."""
    if field in projection.fields:
        return
    view = projection.view.__qualname__
    if field not in projection.view.__struct_fields__:
        raise ViewNotIndexed(f"{view} has no field {field!r}", view=view, field=field)
    wanted = (*projection.indexes, field)
    raise ViewNotIndexed(
        f"{view} cannot be found or ordered by {field!r}: declare indexes={wanted!r} in projection {projection.name!r}",
        view=view,
        field=field,
    )
