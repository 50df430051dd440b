"""Given events, when a command comes, then the aggregate answers as it does in the bus, or the test says why not."""

from typing import Any

import pytest

from bus import CommandFailed, Rejected, UnknownCommand
from bus.testing import given
from bus.testing.deciders import facts_of
from tests.support.bank import (
    ACCOUNT,
    Account,
    AlreadyOpen,
    Deposit,
    Deposited,
    Misbehave,
    NotOpen,
    Open,
    Opened,
    Overdrawn,
    Touch,
    Withdraw,
    Withdrawn,
)
from tests.support.ledger import Close

OPENED = given(ACCOUNT, Opened(), Deposited(10))


def test_a_command_records_events() -> None:
    OPENED.when(Withdraw("a", 4)).then(Withdrawn(4))


def test_a_command_may_record_several() -> None:
    OPENED.when(Misbehave("a", "amounts", [1, 2])).then(Deposited(1), Deposited(2))


def test_an_aggregate_of_which_nothing_is_given_is_new() -> None:
    given(ACCOUNT).then_state(Account()).when(Open("a")).then(Opened())


def test_given_events_make_the_state() -> None:
    OPENED.then_state(Account(True, 10))
    assert OPENED.state == Account(True, 10)
    assert OPENED.history == (Opened(), Deposited(10))


def test_a_command_may_record_nothing() -> None:
    OPENED.when(Touch("a")).then_nothing().then_state(Account(True, 10))


def test_a_command_may_be_rejected_with_facts() -> None:
    OPENED.when(Withdraw("a", 11)).then_rejected(Overdrawn).then_rejected(Overdrawn, balance=10)


def test_a_later_command_goes_on_where_the_last_one_left() -> None:
    last = (
        OPENED.when(Withdraw("a", 4))
        .then(Withdrawn(4))
        .then_state(Account(True, 6))
        .when(Withdraw("a", 7))
        .then_rejected(Overdrawn, balance=6)
        .when(Deposit("a", 1))
        .when(Withdraw("a", 7))
        .then(Withdrawn(7))
        .then_state(Account(True, 0))
    )
    assert last.history == (Opened(), Deposited(10), Withdrawn(4), Deposited(1), Withdrawn(7))


def test_what_came_out_is_there_for_plain_assertions() -> None:
    taken, refused = OPENED.when(Withdraw("a", 4)), OPENED.when(Withdraw("a", 11))
    assert (taken.events, taken.state, taken.rejection) == ((Withdrawn(4),), Account(True, 6), None)
    assert (refused.events, refused.state, refused.history) == ((), Account(True, 10), OPENED.history)
    assert str(refused.rejection) == "not enough money"


def test_what_was_given_is_changed_by_no_command() -> None:
    OPENED.when(Withdraw("a", 10))
    OPENED.when(Withdraw("a", 10)).then(Withdrawn(10))


def failure(of: Any) -> str:
    """What a test says that fails."""
    with pytest.raises(AssertionError) as failed:
        of()
    return str(failed.value)


def test_another_event_is_told_field_by_field() -> None:
    decided = OPENED.when(Withdraw("a", 4))
    assert failure(lambda: decided.then(Withdrawn(5))) == (
        "Withdraw did not record what was expected:\n  event 1, Withdrawn.amount\n    expected 5\n    but was  4.0"
    )
    assert "event 1\n    expected Deposited(amount=4)\n    but was  Withdrawn" in failure(
        lambda: decided.then(Deposited(4))
    )
    assert "event 2 is missing: Withdrawn(amount=1)" in failure(lambda: decided.then(Withdrawn(4), Withdrawn(1)))


def test_an_event_too_many_is_told() -> None:
    decided = OPENED.when(Misbehave("a", "amounts", [1, 2]))
    assert "event 2 was not expected: Deposited(amount=2.0)" in failure(lambda: decided.then(Deposited(1)))


def test_the_order_of_events_counts() -> None:
    decided = OPENED.when(Misbehave("a", "amounts", [1, 2]))
    assert "event 1, Deposited.amount" in failure(lambda: decided.then(Deposited(2), Deposited(1)))


def test_events_where_nothing_was_expected_are_told() -> None:
    told = failure(lambda: OPENED.when(Withdraw("a", 4)).then_nothing())
    assert told.startswith("Withdraw was expected to record nothing:\n  event 1 was not expected: Withdrawn(")


def test_nothing_where_events_were_expected_is_told() -> None:
    assert "event 1 is missing: Opened()" in failure(lambda: OPENED.when(Touch("a")).then(Opened()))


def test_another_state_is_told_field_by_field() -> None:
    expected = "is another than expected:\n  Account.balance\n    expected 7\n    but was  10.0"
    assert failure(lambda: OPENED.then_state(Account(True, 7))) == f"the state after the given events {expected}"
    told = failure(lambda: OPENED.when(Touch("a")).then_state(Account(True, 7)))
    assert told == f"the state after Touch {expected}"


def test_a_rejection_that_nobody_expected_fails_whatever_comes_next() -> None:
    refused = OPENED.when(Withdraw("a", 11))
    for then in (
        lambda: refused.then(Withdrawn(11)),
        refused.then_nothing,
        lambda: refused.then_state(Account(True, 10)),
        lambda: refused.when(Touch("a")),
    ):
        told = failure(then)
        assert told.startswith("Withdraw was rejected with Overdrawn: not enough money")
        assert ".then_rejected(Overdrawn)" in told


def test_another_rejection_is_told_and_is_the_cause() -> None:
    with pytest.raises(AssertionError, match="rejected with NotOpen, but was rejected with AlreadyOpen: the") as failed:
        OPENED.when(Open("a")).then_rejected(NotOpen)
    assert isinstance(failed.value.__cause__, AlreadyOpen)


def test_a_rejection_must_be_of_the_very_type() -> None:
    assert "rejected with Rejected, but was" in failure(lambda: OPENED.when(Open("a")).then_rejected(Rejected))


def test_other_facts_are_told_field_by_field() -> None:
    assert failure(lambda: OPENED.when(Open("a")).then_rejected(AlreadyOpen, balance=9, owner="Ada")) == (
        "Open was rejected with other facts than expected:\n"
        "  AlreadyOpen.balance\n"
        "    expected 9\n"
        "    but was  10.0\n"
        "  AlreadyOpen.owner\n"
        "    expected 'Ada'\n"
        "    but was  nothing"
    )


def test_what_was_recorded_instead_of_a_rejection_is_told() -> None:
    told = failure(lambda: OPENED.when(Withdraw("a", 4)).then_rejected(Overdrawn))
    assert told.startswith(
        "Withdraw was expected to be rejected with Overdrawn:\n  event 1 was not expected: Withdrawn"
    )
    assert "recorded nothing" in failure(lambda: OPENED.when(Touch("a")).then_rejected(Overdrawn))


class Closed(Rejected):
    """A rejection with an `__init__` of its own."""

    def __init__(self, account: str) -> None:
        super().__init__(f"{account} is closed", code="shut")
        self.account = account


def test_facts_are_those_given_and_those_set_on_the_rejection() -> None:
    assert facts_of(Closed("a")) == {"account": "a", "code": "shut"}


def test_one_given_is_one_aggregate() -> None:
    told = failure(lambda: OPENED.when(Deposit("a", 1)).when(Deposit("b", 1)))
    assert told == (
        "Deposit goes to 'account-b', but Deposit went to 'account-a': give each aggregate a `given` of its own"
    )


def test_a_bug_is_the_error_of_the_bus_with_its_cause() -> None:
    with pytest.raises(CommandFailed, match="a bug in decide") as failed:
        OPENED.when(Misbehave("a", "raise"))
    assert isinstance(failed.value.__cause__, ZeroDivisionError)


def test_a_command_of_another_decider_is_unknown() -> None:
    command: Any = Close("a")
    with pytest.raises(UnknownCommand):
        OPENED.when(command)
