"""What no worker may answer is found when it is answered."""

import msgspec
import pytest

from tests.crashes.notes import Line, Notes

FILL: Line = {"type": "fill", "jar": "a", "marbles": [1], "command_id": "c-1"}


def _receipt(*, position: int = 1, duplicate: bool = False, command_id: str = "c-1") -> bytes:
    receipt = {"command_id": command_id, "stream": "jar-a", "version": 1, "position": position, "events": 1}
    return msgspec.json.encode({"line": 1, "receipt": {**receipt, "duplicate": duplicate}})


def _error(code: str) -> bytes:
    return msgspec.json.encode({"line": 1, "error": {"code": code, "message": "why"}})


@pytest.fixture
def notes() -> Notes:
    """One command has been sent."""
    notes = Notes()
    notes.sent(FILL)
    return notes


def test_a_receipt_closes_a_command_and_its_repetition_is_counted(notes: Notes) -> None:
    assert notes.answered(FILL, _receipt()) is not None
    assert not notes.open
    notes.sent(FILL)
    assert notes.answered(FILL, _receipt(duplicate=True)) is None
    assert (notes.duplicates, notes.open) == (1, {})


@pytest.mark.parametrize("is_recorded", [True, False])
def test_what_a_dead_worker_left_open_may_be_recorded_or_not(notes: Notes, is_recorded: bool) -> None:
    notes.died()
    assert (notes.answered(FILL, _receipt(duplicate=is_recorded)) is None) is is_recorded
    assert (notes.found_recorded, notes.found_absent) == (is_recorded, not is_recorded)


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ([_receipt(duplicate=True)], "never sent before"),
        ([_receipt(), _receipt()], "recorded twice"),
        ([_receipt(), _receipt(position=2, duplicate=True)], "another place"),
        ([_receipt(), _error("rejected.too-light")], "now rejected"),
        ([_receipt(command_id="c-2")], "c-2"),
        ([_error("store-unavailable")], "store-unavailable"),
    ],
)
def test_an_answer_that_breaks_a_promise_is_found(notes: Notes, answers: list[bytes], found: str) -> None:
    *good, bad = answers
    for answer in good:
        notes.answered(FILL, answer)
    with pytest.raises(AssertionError, match=found):
        notes.answered(FILL, bad)


def test_where_the_store_may_be_away_what_failed_is_kept_to_be_sent_again() -> None:
    notes = Notes(outages=True)
    notes.sent(FILL)
    notes.answered(FILL, _error("store-unavailable"))
    assert list(notes.failed) == [FILL]
    assert notes.answered(FILL, _receipt()) is not None
    # A repetition that fails says nothing of the first.
    notes.answered(FILL, _error("store-unavailable"))
    assert (list(notes.failed), notes.failures) == ([FILL], {"store-unavailable": 2})


def test_of_what_is_said_not_to_be_recorded_no_duplicate_is_taken() -> None:
    notes = Notes(outages=True)
    notes.sent(FILL)
    notes.answered(FILL, _error("store-unavailable"))
    with pytest.raises(AssertionError, match="never sent before"):
        notes.answered(FILL, _receipt(duplicate=True))
    notes.answered(FILL, _error("outcome-unknown"))
    assert notes.answered(FILL, _receipt(duplicate=True)) is None
    assert notes.found_recorded == 1
