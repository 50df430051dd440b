"""Each answer has its word."""

import pytest

from adapters.otel.outcomes import is_failure, outcome_of, outcome_of_error
from bus.core.errors import (
    BusError,
    CommandFailed,
    ConflictExhausted,
    DeadlineExceeded,
    OutcomeUnknown,
    QueryTimeout,
    Rejected,
    StoreUnavailable,
    VersionConflict,
)
from bus.core.messages import Receipt


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (Rejected("no"), "rejected"),
        (VersionConflict("no"), "conflict"),
        (ConflictExhausted("no"), "conflict"),
        (DeadlineExceeded("late"), "timeout"),
        (QueryTimeout("late"), "timeout"),
        (CommandFailed("bug"), "error"),
        (StoreUnavailable("gone"), "error"),
        (OutcomeUnknown("perhaps"), "error"),
    ],
)
def test_an_error_has_its_word(error: BusError, word: str) -> None:
    assert outcome_of(error) == outcome_of_error(error) == word
    assert is_failure(word) is (word in ("error", "timeout"))


def test_a_receipt_is_ok_unless_it_repeats() -> None:
    assert outcome_of(Receipt("x", "account-a", 1, 1)) == "ok"
    assert outcome_of(Receipt("x", "account-a", 1, 1, duplicate=True)) == "duplicate"


def test_what_nobody_waited_for_was_cancelled_or_late() -> None:
    assert outcome_of(None) == "cancelled"
    assert outcome_of(None, is_late=True) == "timeout"
    assert outcome_of(OutcomeUnknown("perhaps"), is_late=True) == "timeout"
