"""Envelopes: who still waits, and what a twin is told."""

import pytest

from bus import Overloaded, Receipt
from bus.runtime.reply import EventReply
from bus.write.directory import Actor
from bus.write.envelope import Envelope, Twin
from tests.support.bank import ACCOUNT, Open


def envelope(twins: int = 0) -> Envelope:
    made = Envelope(Open("a"), Actor("account-a", ACCOUNT), "the-id", True, 5.0, EventReply())
    if twins:
        made.twins = [Twin(EventReply(), 5.0) for _ in range(twins)]
    return made


@pytest.mark.parametrize("twins", [0, 2])
async def test_a_command_is_wanted_while_anybody_waits(twins: int) -> None:
    one = envelope(twins)
    assert one.wanted()
    one.reply.cancel()
    assert one.wanted() is bool(twins)
    for twin in one.twins or ():
        twin.reply.cancel()
    assert not one.wanted()


async def test_twins_are_told_that_theirs_is_a_duplicate() -> None:
    one = envelope(2)
    assert one.twins is not None
    one.answer(Receipt("the-id", "account-a", 1, 1))
    assert (await one.reply).duplicate is False
    assert [(await twin.reply).duplicate for twin in one.twins] == [True, True]


async def test_twins_get_errors_of_their_own() -> None:
    one = envelope(2)
    assert one.twins is not None
    one.twins[0].reply.cancel()
    error = Overloaded("too much", stream="account-a")
    one.answer(error)
    assert await one.reply is error
    copied = await one.twins[1].reply
    assert copied is not error
    assert (type(copied), str(copied), copied.stream) == (Overloaded, "too much", "account-a")


async def test_who_has_gone_is_not_answered() -> None:
    one = envelope(1)
    one.reply.cancel()
    one.answer(Receipt("the-id", "account-a", 1, 1))
    assert one.twins is not None
    assert (await one.twins[0].reply).duplicate
