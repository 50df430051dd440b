"""Every outcome is one line of JSON, whatever a rejection carries."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cli.answers import Outcome, answers
from adapters.cli.wire import Refusal
from bus import OutcomeUnknown, Receipt, Rejected
from tests.support.bank import Opened


class TooLate(Rejected): ...


class Unshowable:
    def __str__(self) -> str:
        raise RuntimeError("cannot be shown")


def answer(outcome: Outcome) -> dict[str, Any]:
    written = answers([(7, outcome)])
    assert written.endswith(b"\n")
    assert written.count(b"\n") == 1
    read: dict[str, Any] = msgspec.json.decode(written)
    assert read.pop("line") == 7
    return read


def test_a_receipt_counts_its_events() -> None:
    shown = {"command_id": "c", "stream": "account-1", "version": 2, "position": 9, "events": 1, "duplicate": False}
    assert answer(Receipt("c", "account-1", 2, 9, (Opened(),))) == {"receipt": shown}
    assert answer(Receipt("c", "account-1", 2, 9, (Opened(),), True, "abc"))["receipt"] == {
        **shown,
        "duplicate": True,
        "trace_id": "abc",
    }


def test_an_error_carries_its_facts() -> None:
    unknown = OutcomeUnknown("perhaps", command_id="c", stream="account-1")
    assert answer(unknown) == {
        "error": {"code": "outcome-unknown", "message": "perhaps", "command_id": "c", "stream": "account-1"}
    }
    assert answer(Refusal("malformed-line", "no", {"byte": 1})) == {
        "error": {"code": "malformed-line", "message": "no", "byte": 1}
    }


def test_a_fact_hides_neither_code_nor_message() -> None:
    assert answer(TooLate("no", code="mine", gate="A1")) == {
        "error": {"code": "rejected.too-late", "message": "no", "gate": "A1"}
    }


@pytest.mark.parametrize(
    ("fact", "shown"),
    [
        (object, "<class 'object'>"),
        ("\ud800", "\\ud800"),
        (Unshowable(), "<Unshowable>"),
        ({1: object}, {"1": "<class 'object'>"}),
        ({(1, 2): 3}, {"(1, 2)": 3}),
        (2**70, 2**70),
        (float("nan"), None),
    ],
)
def test_a_fact_that_json_cannot_carry_is_shown_all_the_same(fact: object, shown: object) -> None:
    assert answer(TooLate("no", fact=fact))["error"]["fact"] == shown


def test_a_message_that_is_no_unicode_is_shown() -> None:
    assert answer(TooLate("\ud800", fact=[]))["error"] == {
        "code": "rejected.too-late",
        "message": "\\ud800",
        "fact": "[]",
    }


def test_answers_come_a_line_each() -> None:
    lines = answers([(1, TooLate("a")), (2, TooLate("b\nc"))]).splitlines()
    assert [json.loads(line)["line"] for line in lines] == [1, 2]
    assert answers([]) == b""


@given(st.text(), st.dictionaries(st.text(max_size=5), st.text() | st.binary() | st.complex_numbers(), max_size=3))
def test_any_rejection_is_a_line(message: str, facts: dict[str, Any]) -> None:
    for reserved in ("message", "self"):
        facts.pop(reserved, None)
    assert answer(TooLate(message, **facts))["error"]["code"] == "rejected.too-late"
