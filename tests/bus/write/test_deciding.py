"""Deciding: what a turn stages, in which order, and what it leaves for the next."""

from collections.abc import Callable
from typing import Any

import pytest

from bus import BusError, Command, Limits, Overloaded
from bus.runtime.reply import EventReply
from bus.write.deciding import Deciding, Turn
from bus.write.directory import Actor
from bus.write.envelope import Envelope
from tests.support.bank import ACCOUNT, BANK, Account, Deposit, Misbehave, Open, Touch, Withdraw


class Desk:
    """A `Deciding` with what it settled and dropped."""

    def __init__(self, *, confirm: bool = False, **limits: Any) -> None:
        self.settled: list[tuple[Envelope, BusError | None]] = []
        self.dropped: list[Envelope] = []
        settle: Callable[[Envelope, BusError | None], None] = lambda one, outcome: self.settled.append((one, outcome))  # noqa: E731
        self.deciding = Deciding(
            BANK, confirm=confirm, settle=settle, drop=self.dropped.append, limits=Limits(**limits)
        )

    def turn(self, *actors: Actor) -> Turn:
        turn = Turn(0.0)
        self.deciding.decide(turn, list(actors))
        return turn


def actor(name: str, *commands: Command, state: Account | None = Account(True, 10), given: bool = False) -> Actor:  # noqa: B008
    made = Actor(f"account-{name}", ACCOUNT)
    made.state, made.version = state, 2
    made.mail = [
        Envelope(command, made, f"{name}{number}", given, 5.0, EventReply()) for number, command in enumerate(commands)
    ]
    return made


async def test_commands_build_on_each_other_within_a_turn() -> None:
    desk = Desk()
    one = actor("a", Deposit("a", 5), Withdraw("a", 15), Withdraw("a", 1))
    turn = desk.turn(one)
    assert [(entry.expected_version, len(entry.events)) for entry in turn.entries] == [(2, 1), (3, 1)]
    assert [(version, entry) for *_, version, _, entry in turn.staged] == [(3, 0), (4, 1), (4, -1)]
    assert type(turn.staged[2][1]).__name__ == "Overdrawn"
    assert [state for *_, state, _ in turn.staged] == [Account(True, 5 + 10), Account(True, 0), Account(True, 0)]
    assert (one.state, one.version, one.mail, one.busy) == (Account(True, 10), 2, None, True)
    assert desk.settled == []


async def test_what_rests_on_a_committed_state_is_settled_at_once() -> None:
    desk = Desk()
    turn = desk.turn(actor("a", Touch("a"), Open("a")))
    assert [type(outcome).__name__ for _, outcome in desk.settled] == ["NoneType", "AlreadyOpen"]
    assert (turn.staged, turn.entries) == ([], [])


@pytest.mark.parametrize(("confirm", "given"), [(True, False), (False, True), (True, True)])
async def test_what_others_may_have_made_wrong_is_confirmed_by_the_store(confirm: bool, given: bool) -> None:
    desk = Desk(confirm=confirm)
    turn = desk.turn(actor("a", Touch("a"), Open("a"), given=given))
    assert [(entry.expected_version, entry.events) for entry in turn.entries] == [(2, ()), (2, ())]
    assert desk.settled == []


async def test_a_bug_leaves_the_rest_of_the_mail_for_a_recovered_state() -> None:
    desk = Desk()
    one = actor("a", Deposit("a", 5), Misbehave("a", "raise"), Withdraw("a", 1))
    turn = desk.turn(one)
    assert len(turn.entries) == 1
    assert turn.staged[1][-1] == -1, "the failure rests on the deposit"
    assert turn.staged[1][-2] is None
    assert [envelope.command_id for envelope in one.mail or ()] == ["a2"]
    assert turn.again == [one]
    assert one.crashes == 1


async def test_what_nobody_waits_for_is_dropped() -> None:
    desk = Desk()
    one = actor("a", Deposit("a", 5), Deposit("a", 6))
    assert one.mail is not None
    one.mail[0].reply.cancel()
    turn = desk.turn(one)
    assert [envelope.command_id for envelope in desk.dropped] == ["a0"]
    assert [entry.command_id for entry in turn.entries] == ["a1"]


async def test_a_turn_takes_what_it_may_and_leaves_the_rest_in_turn() -> None:
    desk = Desk(batch_commands_max=3)
    hot = actor("hot", *[Deposit("hot", 1)] * 5)
    others = [actor("a", Touch("a")), actor("b", Touch("b"))]
    turn = desk.turn(hot, *others)
    assert (turn.commands, len(hot.mail or ())) == (3, 2)
    assert turn.again == [*others, hot], "who had nothing comes first"
    assert not others[0].busy


async def test_a_cold_actor_waits_for_its_recovery_and_keeps_its_mail() -> None:
    desk = Desk()
    cold = actor("a", Touch("a"), state=None)
    turn = desk.turn(cold)
    assert turn.cold == [cold]
    assert len(cold.mail or ()) == 1
    assert cold.busy


async def test_a_turn_ends_at_its_bytes() -> None:
    desk = Desk(batch_bytes_max=1)
    one = actor("a", *[Deposit("a", 1)] * 3)
    turn = desk.turn(one, actor("b", Deposit("b", 1)))
    assert len(turn.entries) == 1
    assert [envelope.command_id for envelope in one.mail or ()] == ["a1", "a2"]


async def test_an_error_of_the_bus_raised_by_a_decider_is_a_bug_like_any_other() -> None:
    desk = Desk()
    error = Overloaded("not yours to say", stream="account-a")
    broken = actor("a", Misbehave("a", "amounts", _Raising(error)))
    desk.turn(broken)
    outcome = desk.settled[0][1]
    assert outcome is not None
    assert outcome.code == "command-failed"
    assert outcome.__cause__ is error


class _Raising:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def __iter__(self) -> Any:
        raise self._error
