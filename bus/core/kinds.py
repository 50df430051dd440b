"""Kinds: what sort of values an indexed field may have, and which of them can bound a range."""

import enum
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

_OF_VALUES: Final = (datetime, date, time, timedelta, UUID)
"""In this order: a datetime is a date as well."""

_OF_TYPES: Final[tuple[tuple[type[msgspec.inspect.Type], type], ...]] = (
    (msgspec.inspect.StrType, str),
    (msgspec.inspect.BoolType, float),
    (msgspec.inspect.IntType, float),
    (msgspec.inspect.FloatType, float),
    (msgspec.inspect.DateTimeType, datetime),
    (msgspec.inspect.DateType, date),
    (msgspec.inspect.TimeType, time),
    (msgspec.inspect.TimeDeltaType, timedelta),
    (msgspec.inspect.UUIDType, UUID),
)


def kinds_of(described: Any) -> frozenset[type] | None:
    """The kinds of a field's values besides None; None where some cannot be indexed.

    A kind is a type within which Python itself compares: `float` stands for all numbers, and an enum whose members are
    neither texts nor numbers, in which nothing comes before anything else, for itself.
    """
    if isinstance(described, msgspec.inspect.UnionType):
        found: set[type] = set()
        for part in described.types:
            kinds = kinds_of(part)
            if kinds is None:
                return None
            found |= kinds
        return frozenset(found)
    if isinstance(described, msgspec.inspect.NoneType):
        return frozenset()
    if isinstance(described, msgspec.inspect.EnumType):
        return frozenset({_kind(member) or described.cls for member in described.cls})
    if isinstance(described, msgspec.inspect.LiteralType):
        return frozenset({kind for value in described.values if (kind := _kind(value)) is not None})
    return next((frozenset({kind}) for described_by, kind in _OF_TYPES if isinstance(described, described_by)), None)


def kind_of(value: object) -> type | None:
    """The kind of a value; None of one that has none, or is in no order with others of its kind."""
    if isinstance(value, time) and value.tzinfo is not None:
        return None
    return _kind(value)


def name_of(kind: type) -> str:
    """In words that follow "a range of"."""
    return {str: "texts", float: "numbers", UUID: "UUIDs"}.get(kind, f"{kind.__name__}s")


def _kind(value: object) -> type | None:
    if isinstance(value, str):
        return str
    if isinstance(value, int | float):
        return float
    if isinstance(value, enum.Enum):
        return None
    return next((kind for kind in _OF_VALUES if isinstance(value, kind)), None)
