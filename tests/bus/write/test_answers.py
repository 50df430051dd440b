"""Answers: each says what happened, whether it was recorded, and what to do."""

import pytest

from bus import BusError, NotRecorded, OutcomeUnknown
from bus.core.errors import in_words
from bus.runtime.reply import EventReply
from bus.write import answers
from bus.write.directory import Actor
from bus.write.envelope import Envelope
from tests.support.bank import ACCOUNT, Open


def envelope() -> Envelope:
    return Envelope(Open("a"), Actor("account-a", ACCOUNT), "the-id", False, 5.0, EventReply(), attempts=3)


async def test_every_answer_says_whether_it_was_recorded_and_what_to_do() -> None:
    told: list[tuple[BusError, str]] = [
        (answers.reused("the-id", "account-a"), "Give every command an id of its own"),
        (answers.overloaded("account-a", 5), "Send fewer at a time"),
        (answers.unknown_command(Open("a")), "add its decider"),
        (answers.unknown_command("open"), "it is no Command"),
        (answers.failed_before(Open("a"), None, "its id is empty"), "a mistake in the code that made the command"),
        (answers.exhausted(envelope()), "let one process own the aggregate"),
        (answers.conflict("account-a", 1, 2), "Read the aggregate again"),
        (answers.failed(Open("a"), "account-a", ValueError("x")), "a bug in the aggregate's code"),
    ]
    for error, advice in told:
        assert isinstance(error, NotRecorded)
        assert "nothing was recorded" in str(error).lower()
        assert advice in str(error)
    unknown = answers.unknown(envelope(), "why")
    assert isinstance(unknown, OutcomeUnknown)
    assert "perhaps recorded (why). Send it again with the same command id" in str(unknown)
    assert answers.exhausted(envelope()).attempts == 3


class Mute(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(("error", "words"), [(ValueError("x"), "ValueError: x"), (Mute(), "Mute")])
def test_what_a_function_raised_is_put_into_words_as_far_as_it_goes(error: Exception, words: str) -> None:
    assert in_words(error) == words
    assert answers.failed(Open("a"), "account-a", error).__cause__ is error
