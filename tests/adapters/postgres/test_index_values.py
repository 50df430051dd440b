"""Index values compare as bytes as they do in Python."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.postgres.index_values import sortable

WHOLE = st.integers(-(2**63), 2**63 - 1)
NUMBERS = WHOLE | st.floats(allow_nan=False) | st.integers(2**53 - 3, 2**53 + 3) | WHOLE.map(float)


@given(NUMBERS, NUMBERS)
def test_numbers_compare_as_numbers(one: float, other: float) -> None:
    assert (sortable(one) < sortable(other)) == (one < other)
    assert (sortable(one) == sortable(other)) == (one == other)


@given(st.text(), st.text())
def test_texts_compare_by_code_point(one: str, other: str) -> None:
    if all(not 0xD800 <= ord(character) < 0xE000 for character in one + other):
        assert (sortable(one) < sortable(other)) == (one < other)


def test_none_comes_before_numbers_and_numbers_before_texts() -> None:
    values = [None, -math.inf, -(2**63), -1, -0.5, 0, 1, 2**62, 2**62 + 1, 2**63 - 1, math.inf, "", "0", "a"]
    for one, other in itertools.pairwise(values):
        assert sortable(one) < sortable(other)
    assert sortable(-0.0) == sortable(0) == sortable(False)
    assert sortable(math.nan) == sortable(None)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**400])
def test_a_number_beyond_64_bits_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="too large"):
        sortable(value)
