"""Finding: what a store is asked, in the one order that all stores share, and the steps in which SQL answers it.

Index values are ordered: None, then numbers, then texts by code point. A whole number and a fraction compare as in
Python, exactly. Views are ordered by the value of one index, ascending or descending, and among equals by key, always
ascending.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from bus.core.projection import IndexValue
from bus.core.stored import text_fault


class Among(msgspec.Struct, frozen=True):
    """The value equals one of these; of none, nothing is found."""

    values: tuple[IndexValue, ...]


class Interval(msgspec.Struct, frozen=True):
    """The value is not None and lies between the bounds, in the order of all values; None is no bound.

    A bound is what a view could hold: a number of 64 bits, or a text without `text_fault`.
    """

    low: IndexValue = None
    high: IndexValue = None
    low_inside: bool = True
    high_inside: bool = True


Condition: TypeAlias = Among | Interval
Where: TypeAlias = Mapping[str, IndexValue | Condition]
"""By index; a value stands for being equal to it."""

TEXTS_BEGIN = ""
"""The least text: all numbers are below it."""


class Place(msgspec.Struct, frozen=True):
    """Where a view stands: the value of the index that orders, None where none does, and its key."""

    value: IndexValue
    key: str


class Step(msgspec.Struct, frozen=True):
    """One range of an index, whose views all come before those of the next step."""

    where: Mapping[str, Condition]
    order_by: str | None
    """None where all views of the step have the same value: they come by key."""
    after_key: str | None
    """Only views with later keys."""


def steps(where: Where, order_by: str | None, descending: bool, after: Place | None) -> Sequence[Step]:
    """What to look for, one after the other, until there are enough views: each can be read off an index from a place.

    A single statement that begins after `after` could not, since a descending order has ascending keys in it, and None
    is neither above nor below anything in SQL.
    """
    conditions = {name: _storable(wanted) for name, wanted in where.items()}
    if any(isinstance(condition, Among) and not condition.values for condition in conditions.values()):
        return ()
    if order_by is None:
        return (Step(conditions, None, None if after is None else after.key),)
    own = conditions.get(order_by)
    if after is None:
        return (Step(conditions, _needed(order_by, own), None),)
    later: list[Condition]
    if descending:
        later = [] if after.value is None else [Interval(high=after.value, high_inside=False), Among((None,))]
    else:
        later = [Interval() if after.value is None else Interval(low=after.value, low_inside=False)]
    found: list[Step] = []
    for condition, key in [(Among((after.value,)), after.key), *[(one, None) for one in later]]:
        both = condition if own is None else _both(own, condition)
        if both != Among(()):
            found.append(Step({**conditions, order_by: both}, _needed(order_by, both), key))
    return found


def holds(condition: IndexValue | Condition, value: IndexValue) -> bool:
    """Whether a view with this value is wanted."""
    if isinstance(condition, Among):
        return value in condition.values
    if not isinstance(condition, Interval):
        return value == condition
    if value is None:
        return False
    mine = rank(value)
    low, high = rank(condition.low), _rank_of_end(condition.high)
    return (low < mine or (condition.low_inside and low == mine)) and (
        mine < high or (condition.high_inside and mine == high)
    )


def rank(value: IndexValue) -> tuple[int, str | int | float]:
    """What sorts as the order of index values is."""
    if value is None:
        return 0, 0
    return (2, value) if isinstance(value, str) else (1, value)


def _storable(wanted: IndexValue | Condition) -> Condition:
    """Without the values that no view can hold, and that some store could not even look for."""
    if isinstance(wanted, Interval):
        return wanted
    values = wanted.values if isinstance(wanted, Among) else (wanted,)
    kept: dict[IndexValue, None] = {}
    for value in values:
        if isinstance(value, str):
            if text_fault(value) is None:
                kept[value] = None
        elif not isinstance(value, int) or -(2**63) <= value < 2**63:
            kept[value] = None
    return Among(tuple(kept))


def _needed(order_by: str, condition: Condition | None) -> str | None:
    """The order, where the condition leaves more than one value."""
    return None if isinstance(condition, Among) and len(condition.values) == 1 else order_by


def _both(one: Condition, other: Condition) -> Condition:
    """One condition for two; a database might use the wider one of two to look with."""
    if isinstance(one, Among):
        return Among(tuple([value for value in one.values if holds(other, value)]))
    if isinstance(other, Among):
        return _both(other, one)
    low = max(one, other, key=lambda interval: (rank(interval.low), not interval.low_inside))
    high = min(one, other, key=lambda interval: (_rank_of_end(interval.high), interval.high_inside))
    return Interval(low.low, high.high, low.low_inside, high.high_inside)


def _rank_of_end(value: IndexValue) -> tuple[int, str | int | float]:
    return (3, 0) if value is None else rank(value)
