"""Conditions: what `find` may ask of an indexed field besides being equal to a value.

`departs_at=at_least(monday) & below(tuesday)`, `origin=one_of("EWR", "JFK")`.
"""

import msgspec


class Bound(msgspec.Struct, frozen=True):
    """Where a range begins or ends."""

    value: object
    is_inside: bool
    """Whether the value itself belongs to the range."""


class Range(msgspec.Struct, frozen=True):
    """The field lies between two bounds, one of which may be missing.

    Two of them are joined by `&`. None lies in no range, and neither does a text in one of numbers, nor the reverse.
    """

    low: Bound | None = None
    high: Bound | None = None

    def __and__(self, other: "Range") -> "Range":
        """Both at once; raises `TypeError` where that makes two bounds on one side."""
        if not isinstance(other, Range):
            return NotImplemented
        if None not in (self.low, other.low) or None not in (self.high, other.high):
            raise TypeError("a range has one lower and one upper bound, such as at_least(1) & below(9)")
        return Range(self.low or other.low, self.high or other.high)


class OneOf(msgspec.Struct, frozen=True):
    """The field equals one of the values, among which may be None."""

    values: tuple[object, ...]


def at_least(value: object) -> Range:
    """`field >= value`."""
    return Range(low=Bound(value, is_inside=True))


def above(value: object) -> Range:
    """`field > value`."""
    return Range(low=Bound(value, is_inside=False))


def at_most(value: object) -> Range:
    """`field <= value`."""
    return Range(high=Bound(value, is_inside=True))


def below(value: object) -> Range:
    """`field < value`."""
    return Range(high=Bound(value, is_inside=False))


def between(low: object, high: object) -> Range:
    """`low <= field <= high`: both ends belong to it. Of a day, say `at_least(midnight) & below(next_midnight)`."""
    return at_least(low) & at_most(high)


def one_of(*values: object) -> OneOf:
    """`field` is one of these; of none, no view is found. At most `Limits.find_values_max`."""
    return OneOf(values)
