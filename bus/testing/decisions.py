"""Decisions: carries one command through the bus's own steps send, route, mailbox and decide, without a store."""

import copy
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

from bus.core.application import Application
from bus.core.decider import Decider
from bus.core.errors import BusError, CommandFailed, Rejected
from bus.core.limits import Limits
from bus.core.messages import Command, Event, State
from bus.runtime.reply import EventReply
from bus.testing.differences import differences, lines_of, lines_of_sequences, told
from bus.testing.histories import read_back
from bus.write.deadlines import Deadlines
from bus.write.deciding import Deciding, Turn
from bus.write.directory import Directory
from bus.write.envelope import Envelope
from bus.write.intake import Intake
from bus.write.recovery import recovered

S = TypeVar("S", bound=State)
E = TypeVar("E", bound=Event)


class Decision(msgspec.Struct, Generic[S, E], frozen=True):
    """What became of one command."""

    stream: str
    events: tuple[E, ...]
    """As they are read back from the store."""
    state: S
    """After the events."""
    rejection: Rejected | None = None


class Decisions(Generic[S, E]):
    """The write side of one aggregate, as far as it is pure."""

    def __init__(self, decider: Decider[Any, S, E], limits: Limits) -> None:
        self.decider = decider
        self._limits = limits
        self._application = Application(deciders=[decider])

    def recover(self, events: Sequence[E]) -> tuple[tuple[E, ...], S]:
        """The events as they are read back from the store, and the state that they make.

        Raises TypeError or ValueError for events that no store can hold, `CommandFailed` where `evolve` raises, and
        `AssertionError` where `evolve` or `fold` is not what a `Decider` promises.
        """
        decider = self.decider
        read: tuple[Any, ...] = tuple(
            [read_back(event, self._application.schema, f"decider {decider.category!r}") for event in events]
        )
        before = copy.deepcopy(decider.initial)
        state = recovered(decider, decider.initial, read, f"{decider.category}-?")
        if isinstance(state, CommandFailed):
            raise state
        _check_unchanged(before, decider.initial, "evolve or fold")
        evolved = decider.initial
        for event in read:
            before, last = copy.deepcopy(evolved), evolved
            evolved = decider.evolve(last, event)
            _check_unchanged(before, last, "evolve")
        _check_snapshot(decider, state, f"decider {decider.category!r}")
        by = "fold" if decider.fold is not None else "evolve, called again,"
        _check_same(evolved, state, f"{by} makes another state of the same events than evolve does:")
        return read, state

    def decide(self, command: Command, state: S, history: Sequence[E]) -> Decision[S, E]:
        """Decides a command twice, as the bus would, on the state that the history makes.

        Raises `CommandFailed` for a bug in `identify`, `decide` or `evolve`, `UnknownCommand`, and `AssertionError`
        where the second answer differs, a state was changed in place, or `fold` does not equal `evolve`.
        """
        decider = self.decider
        before = copy.deepcopy(state)
        name = type(command).__name__
        decision, again = [self._decide(command, state) for _ in range(2)]
        folded: list[S] = []
        if decider.fold is not None and decision.events:
            folded = [decider.fold(state, decision.events), decider.fold(decider.initial, (*history, *decision.events))]
        _check_unchanged(before, state, f"{name}: decide, evolve or fold")
        _check_snapshot(decider, decision.state, name)
        _check_answers(name, decision, again)
        _check_same(decision.state, again.state, f"{name}: evolve is not pure; called again, it made another state:")
        for other in folded:
            _check_same(decision.state, other, f"{name}: fold makes another state of the events than evolve does:")
        return decision

    def _decide(self, command: Command, state: S) -> Decision[S, E]:
        settled: list[BusError | None] = []
        directory = Directory(self._limits)
        clock = _StandingClock()
        reply = EventReply
        intake = Intake(
            self._application,
            directory,
            wake=lambda actor: None,
            deadlines=Deadlines(mailboxes=tuple, staged=tuple, mailbox_commands_max=1, clock=clock, new_reply=reply),
            new_reply=reply,
            clock=clock,
            ids=_OneId(),
            observing=None,
            limits=self._limits,
        )

        def settle(_: Envelope, outcome: BusError | None) -> None:
            settled.append(outcome)

        deciding = Deciding(self._application, confirm=False, settle=settle, drop=intake.drop, limits=self._limits)
        intake.submit(command)
        (actor,) = directory.actors.values()
        actor.state = state
        turn = Turn(clock.monotonic())
        deciding.decide(turn, [actor])
        # What records something is staged; what records nothing rests on a committed state, and is settled at once.
        outcome: BusError | None
        events: Any = ()
        after: Any = state
        if settled:
            (outcome,) = settled
        else:
            ((_, outcome, events, _, after, _),) = turn.staged
        if outcome is not None and not isinstance(outcome, Rejected):
            raise outcome
        return Decision(actor.stream, events, after, outcome)


def _check_unchanged(before: State, after: State, who: str) -> None:
    lines = lines_of(before, after)
    if lines:
        raise AssertionError(
            told(f"{who} changed the state that it was given. States are values: return a new one", lines)
        )


def _check_snapshot(decider: Decider[Any, Any, Any], state: State, who: str) -> None:
    """Where states are kept, each must be read back as it was."""
    if decider.snapshot_codec is None:
        return
    try:
        decider.snapshot_codec.encode(state)
    except Exception as error:
        raise AssertionError(f"{who}: no snapshot can be kept of {state!r}: {type(error).__name__}: {error}") from error


def _check_answers(name: str, first: Decision[Any, Any], second: Decision[Any, Any]) -> None:
    lines = lines_of_sequences(first.events, second.events, "event")
    one, other = _refusal(first.rejection), _refusal(second.rejection)
    if differences(one, other, ""):
        lines = [f"first rejected with  {first.rejection!r}", f"then rejected with   {second.rejection!r}"]
    if lines:
        raise AssertionError(
            told(f"{name}: decide is not pure; for the same command and state its second answer differs:", lines)
        )


def _refusal(rejection: Rejected | None) -> tuple[object, ...]:
    return () if rejection is None else (type(rejection), str(rejection), dict(rejection.facts))


def _check_same(expected: object, actual: object, what: str) -> None:
    lines = lines_of(expected, actual)
    if lines:
        raise AssertionError(told(what, lines))


class _StandingClock:
    """Satisfies the port; decisions take no time."""

    def monotonic(self) -> float:
        return 0.0

    def now(self) -> datetime:
        return datetime(2000, 1, 1, tzinfo=UTC)


class _OneId:
    """Satisfies the port; there is one command."""

    def new(self) -> str:
        return "command"
