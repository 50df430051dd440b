"""Copying: gives a value to several, none of whom can change what another one holds."""

import copy
import enum
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

_NUMBERS_AND_TEXTS = (type(None), bool, int, float, complex, str, bytes, range, Decimal, UUID, msgspec.UnsetType)
_TIMES = (date, datetime, time, timedelta, timezone, ZoneInfo)
_CONSTANT = frozenset([*_NUMBERS_AND_TEXTS, *_TIMES, type])
"""Types whose values nobody can change."""

Copier = Callable[[], Any]
"""Makes a copy of one value."""


def copier(value: Any) -> Copier:
    """How to copy a value, which its giver leaves alone from now on.

    What nobody can change is not copied: of a list of frozen structs only the list is. What is of an unknown type is
    copied as `copy.deepcopy` does, and raises now what that raises.
    """
    plan = _plan(value)
    if plan is None:
        return functools.partial(_same, value)
    plan()
    return plan


def _plan(value: Any) -> Copier | None:
    """None for what nobody can change."""
    kind: Any = value.__class__
    if kind in _CONSTANT or issubclass(kind, enum.Enum):
        return None
    if kind is list:
        plans = _plans(value)
        return value.copy if plans is None else functools.partial(_list, plans)
    if kind is tuple:
        plans = _plans(value)
        return None if plans is None else functools.partial(_tuple, plans)
    if kind is dict and _plans(value) is None:
        plans = _plans(value.values())
        return value.copy if plans is None else functools.partial(_dict, list(value), plans)
    if kind in (set, frozenset) and _plans(value) is None:
        return value.copy if kind is set else None
    if issubclass(kind, msgspec.Struct) and not hasattr(value, "__dict__"):
        return _struct_plan(value)
    return functools.partial(copy.deepcopy, value)


def _plans(values: Iterable[Any]) -> Sequence[Copier] | None:
    """How to copy each of them; None where nobody can change any."""
    plans = [(_plan(value), value) for value in values]
    if all(plan is None for plan, _ in plans):
        return None
    return [functools.partial(_same, value) if plan is None else plan for plan, value in plans]


def _struct_plan(value: msgspec.Struct) -> Copier | None:
    plans: dict[str, Copier] = {}
    for name in value.__struct_fields__:
        if (plan := _plan(getattr(value, name))) is not None:
            plans[name] = plan
    return functools.partial(_struct, value, plans) if plans or not value.__struct_config__.frozen else None


def _same(value: Any) -> Any:
    return value


def _list(plans: Sequence[Copier]) -> list[Any]:
    return [plan() for plan in plans]


def _tuple(plans: Sequence[Copier]) -> tuple[Any, ...]:
    return tuple([plan() for plan in plans])


def _dict(keys: Sequence[Any], plans: Sequence[Copier]) -> dict[Any, Any]:
    return {key: plan() for key, plan in zip(keys, plans, strict=True)}


def _struct(value: msgspec.Struct, plans: Mapping[str, Copier]) -> msgspec.Struct:
    copied = copy.copy(value)
    for name, plan in plans.items():
        # Frozen for everybody else; nobody has seen this one yet.
        msgspec.structs.force_setattr(copied, name, plan())
    return copied
