"""Arguments: what is waited for, and for how long."""

import math

import pytest

from bus import DefinitionError, MemoryEventStore, Receipt
from bus.arguments import after_of, check_store, seconds_of
from bus.core.letters import After
from tests.support.ledger import Deposited


@pytest.mark.parametrize(
    ("given", "after"),
    [
        (None, After(0, 1)),
        (0, After(0, 1)),
        (7, After(7, 7)),
        (Receipt("c", "a-1", 3, 7, (Deposited(1),) * 3), After(7, 5, "a-1")),
        (Receipt("c", "a-1", 3, 7), After(7, 8, "a-1")),
    ],
)
def test_what_is_waited_for_is_a_position_and_the_events_up_to_there(given: Receipt | int | None, after: After) -> None:
    assert after_of(given) == after


def test_what_cannot_be_waited_for_is_told() -> None:
    with pytest.raises(TypeError, match="a receipt or a position, not '7'"):
        after_of("7")  # type: ignore[arg-type]


def test_seconds_are_a_number_or_the_default() -> None:
    assert (seconds_of(None, 3.0), seconds_of(0, 3.0), seconds_of(1.5, 3.0)) == (3.0, 0, 1.5)
    for wrong in ("1", math.nan):
        with pytest.raises(TypeError, match="timeout must be a number of seconds"):
            seconds_of(wrong, 3.0)  # type: ignore[arg-type]


def test_what_is_no_store_is_told() -> None:
    check_store("event_store", None, "append")
    check_store("event_store", MemoryEventStore(), "append")
    with pytest.raises(DefinitionError, match="event_store must be a store"):
        check_store("event_store", "flights.db", "append")
