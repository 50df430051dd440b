"""Lately: rates of the last ten seconds, which forget what came before."""

import pytest

from bus.read.lately import Lately

START = 1_000.25


def test_nothing_is_nothing() -> None:
    lately = Lately(START)
    assert (lately.events_per_s(START), lately.batch_events(START)) == (0.0, 0.0)
    assert lately.events_per_s(START + 60) == 0.0


def test_a_rate_is_over_the_time_since_the_beginning_while_that_is_short() -> None:
    lately = Lately(START)
    lately.add(START + 0.1, 10)
    # Not a hundred: a tenth of a second says nothing.
    assert lately.events_per_s(START + 0.1) == 10.0
    lately.add(START + 3.9, 30)
    assert lately.events_per_s(START + 4.0) == 10.0
    assert lately.batch_events(START + 4.0) == 20.0


def test_a_steady_rate_is_told_as_it_is() -> None:
    lately = Lately(START)
    for step in range(300):
        lately.add(START + step / 10, 50)
    for moment in (20.0, 29.9):
        assert lately.events_per_s(START + moment) == pytest.approx(500, rel=0.5)
    assert lately.events_per_s(START + 29.9) == pytest.approx(500, rel=0.02)
    assert lately.batch_events(START + 29.9) == 50.0


def test_what_was_done_long_ago_is_forgotten() -> None:
    lately = Lately(START)
    lately.add(START, 10_000)
    assert lately.events_per_s(START + 9) > 0
    assert lately.events_per_s(START + 10) == lately.batch_events(START + 10) == 0.0
    # The same place of the ring again.
    lately.add(START + 20, 10)
    assert lately.batch_events(START + 20) == 10.0
