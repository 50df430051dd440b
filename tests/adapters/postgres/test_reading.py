"""Rows become what the bus reads."""

from datetime import UTC, datetime, timedelta

import pytest

from adapters.postgres.reading import stored_events, texts, to_microseconds, versions
from tests.contracts.entries import NOON


def test_a_time_is_kept_to_the_microsecond_in_utc() -> None:
    row = (1, "a-1", 1, "n", b"{}", to_microseconds(NOON - timedelta(days=30_000)), "c", b"", None, None, None)
    (event,) = stored_events([row])
    assert event.recorded_at == NOON - timedelta(days=30_000)
    assert event.recorded_at.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(TypeError):
        to_microseconds(datetime(2013, 1, 1))


def test_texts_that_no_column_can_hold_are_looked_for_nowhere() -> None:
    assert texts(["a", "a\0b", "\ud800", "é"]) == ["a", "é"]
    assert versions({"a": 1, "b\0": 2}) == (["a"], [1])
