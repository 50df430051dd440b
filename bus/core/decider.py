"""Decider: the pure write model of one category, checked when it is built."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bus.core import annotations
from bus.core.errors import DefinitionError
from bus.core.messages import Command, Event, State
from bus.core.names import is_category
from bus.core.snapshots import SnapshotCodec, Snapshots, snapshot_codec

C = TypeVar("C", bound=Command)
S = TypeVar("S", bound=State)
E = TypeVar("E", bound=Event)


@dataclass(frozen=True, kw_only=True, eq=False)
class Decider(Generic[C, S, E]):
    """How the aggregates of one category answer commands with events.

    `decide(command, state)` returns the events that happened, in order, none for a no-op, or raises a subclass of
    `Rejected`. `evolve(state, event)` returns the next state. `fold(state, events)`, optional, does the work of many
    `evolve` at once; for events e1..en it must equal `evolve(...evolve(state, e1)..., en)` and must not change `state`.
    `snapshots`, off by default, keeps states to recover long aggregates from.
    All are pure: the same arguments, the same answer, and no clock, randomness or I/O.
    Raises `DefinitionError` for annotations or types that cannot work.
    """

    category: str
    initial: S
    identify: Callable[[C], str]
    decide: Callable[[C, S], Sequence[E]]
    evolve: Callable[[S, E], S]
    fold: Callable[[S, Sequence[E]], S] | None = None
    snapshots: Snapshots | None = None

    commands: tuple[type[Command], ...] = field(init=False)
    events: tuple[type[Event], ...] = field(init=False)
    snapshot_codec: SnapshotCodec | None = field(init=False)

    def __post_init__(self) -> None:
        what = f"decider {self.category!r}"
        if not is_category(self.category):
            raise DefinitionError(f"{what}: a category is letters, digits, '_' and '.', without '-'")
        if not isinstance(self.initial, State):
            raise DefinitionError(f"{what}: initial must be an instance of a subclass of State, not {self.initial!r}")
        annotations.check_callable(self.identify, f"{what}: identify")
        if self.fold is not None:
            annotations.check_callable(self.fold, f"{what}: fold")
        commands, decided = self._decide_types(f"{what}: decide")
        evolved, states = self._evolve_types(f"{what}: evolve")
        if set(decided) != set(evolved):
            odd = ", ".join(sorted(event.__qualname__ for event in set(decided) ^ set(evolved)))
            raise DefinitionError(f"{what}: decide and evolve must name the same events; only one of them names {odd}")
        for command in commands:
            annotations.check_tag(command, "command")
            annotations.check_encodable(command, "command")
        for event in decided:
            annotations.check_tag(event, "event")
            annotations.check_encodable(event, "event")
        object.__setattr__(self, "commands", commands)
        object.__setattr__(self, "events", decided)
        if self.snapshots is not None and not isinstance(self.snapshots, Snapshots):
            raise DefinitionError(f"{what}: snapshots must be Snapshots(...) or None, not {self.snapshots!r}")
        codec = None if self.snapshots is None else snapshot_codec(self.snapshots, states, what)
        object.__setattr__(self, "snapshot_codec", codec)

    def folded(self, state: S, events: Sequence[E]) -> S:
        """The state after `events`."""
        if self.fold is not None:
            return self.fold(state, events)
        evolve = self.evolve
        for event in events:
            state = evolve(state, event)
        return state

    def _decide_types(self, what: str) -> tuple[tuple[type[Command], ...], tuple[type[Event], ...]]:
        parameters, returned = annotations.hints(self.decide, what)
        if len(parameters) != 2:
            raise DefinitionError(f"{what} takes (command, state), not {len(parameters)} parameters")
        annotations.check_plain(self.decide, what)
        commands = annotations.members(parameters[0], Command, f"{what}'s command")
        self._check_state(parameters[1], f"{what}'s state")
        return commands, annotations.members(annotations.element(returned, what), Event, f"{what}'s events")

    def _evolve_types(self, what: str) -> tuple[tuple[type[Event], ...], tuple[type[State], ...]]:
        parameters, returned = annotations.hints(self.evolve, what)
        if len(parameters) != 2:
            raise DefinitionError(f"{what} takes (state, event), not {len(parameters)} parameters")
        annotations.check_plain(self.evolve, what)
        self._check_state(parameters[0], f"{what}'s state")
        states = self._check_state(returned, f"{what}'s return value")
        return annotations.members(parameters[1], Event, f"{what}'s event"), states

    def _check_state(self, annotation: object, what: str) -> tuple[type[State], ...]:
        states = annotations.members(annotation, State, what)
        for state in states:
            annotations.check_frozen(state, "state")
        if not isinstance(self.initial, states):
            raise DefinitionError(f"{what} is {annotation!r}, but initial is a {type(self.initial).__qualname__}")
        return states
