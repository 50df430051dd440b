"""Given/when/then for deciders: given events, when a command comes, then events, nothing or a rejection."""

from typing import Any, Generic, NoReturn, Self, TypeVar

from bus.core.decider import Decider
from bus.core.errors import BusError, Rejected
from bus.core.limits import Limits
from bus.core.messages import Command, Event, State
from bus.testing.decisions import Decision, Decisions
from bus.testing.differences import NOTHING, differences, lines_of, lines_of_sequences, told

C = TypeVar("C", bound=Command)
S = TypeVar("S", bound=State)
E = TypeVar("E", bound=Event)


class GivenDecider(Generic[C, S, E]):
    """An aggregate after the events that were given; made by `given`."""

    def __init__(self, decider: Decider[C, S, E], events: tuple[E, ...], limits: Limits) -> None:
        self._decisions: Decisions[S, E] = Decisions(decider, limits)
        self._history, self._state = self._decisions.recover(events)

    @property
    def state(self) -> S:
        """The state that the events make."""
        return self._state

    @property
    def history(self) -> tuple[E, ...]:
        """The events, as they are read back from the store."""
        return self._history

    def when(self, command: C) -> "Decided[C, S, E]":
        """Decides a command as the bus would, twice.

        Raises what `send` would but for a rejection, which is for `then_rejected`: `CommandFailed` with its cause for
        a bug in `identify`, `decide` or `evolve` and for an event that does not survive its encoding. Raises
        `AssertionError` where the two answers differ, a state was changed in place, or `fold` does not equal `evolve`.
        """
        decision = self._decisions.decide(command, self._state, self._history)
        return Decided(self._decisions, self._history, command, decision)

    def then_state(self, state: S) -> Self:
        """The events make this state."""
        __tracebackhide__ = True
        _check_state(state, self._state, "the given events")
        return self


class Decided(Generic[C, S, E]):
    """An aggregate after a command; made by `when`."""

    def __init__(self, decisions: Decisions[S, E], before: tuple[E, ...], command: C, decision: Decision[S, E]) -> None:
        self._decisions = decisions
        self._before = before
        self._command = command
        self._decision = decision
        self._is_refusal_known = False
        """Whether the test has said that the command is rejected."""

    @property
    def events(self) -> tuple[E, ...]:
        """What the command recorded, as it is read back from the store; nothing where it was rejected."""
        return self._decision.events

    @property
    def rejection(self) -> Rejected | None:
        """How the command was rejected, if it was."""
        return self._decision.rejection

    @property
    def state(self) -> S:
        """The state after the command."""
        return self._decision.state

    @property
    def history(self) -> tuple[E, ...]:
        """All events so far: those given, and those of every command."""
        return (*self._before, *self._decision.events)

    def when(self, command: C) -> "Decided[C, S, E]":
        """Decides one more command, on the state that the last one left; see `GivenDecider.when`.

        Raises `AssertionError` where the last command was rejected and no `then_rejected` expected it, and where the
        two commands are for different aggregates.
        """
        __tracebackhide__ = True
        self._check_taken()
        decision = self._decisions.decide(command, self.state, self.history)
        if decision.stream != self._decision.stream:
            raise AssertionError(
                f"{_name(command)} goes to {decision.stream!r}, but {_name(self._command)} went to "
                f"{self._decision.stream!r}: give each aggregate a `given` of its own"
            )
        return Decided(self._decisions, self.history, command, decision)

    def then(self, event: E, /, *more: E) -> Self:
        """The command recorded these events, no others, in this order."""
        __tracebackhide__ = True
        self._check_taken()
        lines = lines_of_sequences((event, *more), self.events, "event")
        if lines:
            raise AssertionError(told(f"{_name(self._command)} did not record what was expected:", lines))
        return self

    def then_nothing(self) -> Self:
        """The command was taken and recorded nothing."""
        __tracebackhide__ = True
        self._check_taken()
        if self.events:
            lines = lines_of_sequences((), self.events, "event")
            raise AssertionError(told(f"{_name(self._command)} was expected to record nothing:", lines))
        return self

    def then_rejected(self, kind: type[Rejected], /, **facts: object) -> Self:
        """The command was rejected with exactly this type, and these of its facts; others may be there as well."""
        __tracebackhide__ = True
        rejection = self.rejection
        name = _name(self._command)
        if rejection is None:
            lines = lines_of_sequences((), self.events, "event") or ["it was taken, and recorded nothing"]
            raise AssertionError(told(f"{name} was expected to be rejected with {kind.__name__}:", lines))
        if type(rejection) is not kind:
            raise AssertionError(
                f"{name} was expected to be rejected with {kind.__name__}, but was {_told(rejection)}"
            ) from rejection
        known = facts_of(rejection)
        found = [
            difference
            for fact, expected in facts.items()
            for difference in differences(expected, known.get(fact, NOTHING), f"{kind.__name__}.{fact}")
        ]
        if found:
            lines = [line for difference in found for line in difference.lines()]
            raise AssertionError(told(f"{name} was rejected with other facts than expected:", lines)) from rejection
        self._is_refusal_known = True
        return self

    def then_state(self, state: S) -> Self:
        """This is the state after the command."""
        __tracebackhide__ = True
        self._check_taken()
        _check_state(state, self.state, _name(self._command))
        return self

    def _check_taken(self) -> None:
        __tracebackhide__ = True
        if self.rejection is not None and not self._is_refusal_known:
            _refused(self._command, self.rejection)


def facts_of(rejection: Rejected) -> dict[str, Any]:
    """What a rejection tells by name: its facts, and the attributes that a subclass of its own making set."""
    own = {name: value for name, value in vars(rejection).items() if not hasattr(BusError, name)}
    return {**own, **rejection.facts}


def _refused(command: Command, rejection: Rejected) -> NoReturn:
    __tracebackhide__ = True
    raise AssertionError(
        f"{_name(command)} was {_told(rejection)}\n  If that is what shall happen, say so: .then_rejected("
        f"{type(rejection).__name__})"
    ) from rejection


def _told(rejection: Rejected) -> str:
    return f"rejected with {type(rejection).__name__}: {rejection}"


def _check_state(expected: State, actual: State, who: str) -> None:
    __tracebackhide__ = True
    lines = lines_of(expected, actual)
    if lines:
        raise AssertionError(told(f"the state after {who} is another than expected:", lines))


def _name(command: Command) -> str:
    return type(command).__name__
