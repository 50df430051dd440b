"""Conditions are written as one would say them."""

from collections.abc import Callable

import pytest

from bus.core.conditions import Bound, OneOf, Range, above, at_least, at_most, below, between, one_of


def test_each_condition_has_the_bounds_that_its_name_says() -> None:
    assert at_least(1) == Range(Bound(1, is_inside=True), None)
    assert above(1) == Range(Bound(1, is_inside=False), None)
    assert at_most(9) == Range(None, Bound(9, is_inside=True))
    assert below(9) == Range(None, Bound(9, is_inside=False))
    assert between(1, 9) == Range(Bound(1, is_inside=True), Bound(9, is_inside=True))
    assert one_of("a", None) == OneOf(("a", None))


def test_two_halves_make_a_range_in_either_order() -> None:
    assert (
        at_least(1) & below(9) == below(9) & at_least(1) == Range(Bound(1, is_inside=True), Bound(9, is_inside=False))
    )


@pytest.mark.parametrize(
    "join",
    [
        lambda: at_least(1) & above(2),
        lambda: below(1) & at_most(2),
        lambda: between(1, 2) & below(3),
        lambda: at_least(None) & at_least(None),
    ],
)
def test_a_range_has_one_bound_on_each_side(join: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match="one lower and one upper bound"):
        join()


def test_a_range_is_joined_with_ranges_only() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        at_least(1) & 5  # type: ignore[operator]
