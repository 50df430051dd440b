"""Deciding: runs the mail of many actors through their deciders and stages what is to be committed."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from bus.core.annotations import tag_of
from bus.core.application import Application
from bus.core.decider import Decider
from bus.core.errors import BusError, CommandFailed, Rejected, VersionConflict
from bus.core.limits import Limits
from bus.core.messages import Command, Event, State
from bus.core.schema import EventCodec
from bus.core.stored import Append, NewEvent
from bus.write.directory import Actor
from bus.write.envelope import Envelope
from bus.write.intake import fingerprint


class Staged(msgspec.Struct, gc=False, eq=False):
    """One command's decision, which stands once everything staged before it for the same actor is durable."""

    envelope: Envelope
    outcome: BusError | None
    """None where it succeeds."""
    events: tuple[Event, ...]
    version: int
    """Of the stream, after the events."""
    entry: int
    """Index of its entry in the batch; -1 where it has none and only waits for those before it."""


class Turn:
    """What one turn decided, on states that nobody sees before they are committed."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.entries: list[Append] = []
        self.staged: list[Staged] = []
        """In the order decided; per actor that is the order sent."""
        self.states: list[tuple[Actor, State | None, int]] = []
        """State and version of each actor once all is committed; None drops the state."""
        self.taken: list[list[Envelope]] = []
        """The mail that was looked at; what of it is still open at the end is in `again`, or the turn crashed."""
        self.cold: list[Actor] = []
        self.again: list[Actor] = []
        """Actors with mail left for the next turn."""
        self.commands = 0
        self.payload_bytes = 0


class Deciding:
    """Step 4 of a command's journey. Plain calls: nothing here waits."""

    def __init__(
        self,
        application: Application,
        *,
        confirm: bool,
        settle: Callable[[Envelope, BusError | None], None],
        drop: Callable[[Envelope], None],
        limits: Limits,
    ) -> None:
        by_type = application.schema.by_type
        self._codecs: Mapping[str, Mapping[type[Event], EventCodec]] = {
            decider.category: {event: by_type[event] for event in decider.events} for decider in application.deciders
        }
        self._confirm = confirm
        self._settle = settle
        self._drop = drop
        self._commands_max = limits.batch_commands_max
        self._bytes_max = limits.batch_bytes_max
        self._events_max = limits.command_events_max
        self._event_bytes_max = limits.event_bytes_max

    def decide(self, turn: Turn, actors: list[Actor]) -> None:
        """Decides, into `turn`, the mail of as many actors as one batch may take."""
        for index, actor in enumerate(actors):
            if turn.commands >= self._commands_max or turn.payload_bytes >= self._bytes_max:
                turn.again.extend(actors[index:])
                break
            actor.busy = True
            if actor.state is None:
                turn.cold.append(actor)
            else:
                mail = actor.mail
                assert mail is not None
                actor.mail = None
                turn.taken.append(mail)
                rest = self._decide_mail(turn, actor, mail)
                if rest:
                    actor.mail = rest
                    turn.again.append(actor)

    def _decide_mail(self, turn: Turn, actor: Actor, mail: list[Envelope]) -> list[Envelope] | None:
        """Decides one actor's mail in the order sent; returns what must wait for another turn."""
        decider = actor.decider
        state, version = actor.state, actor.version
        assert state is not None
        room = self._commands_max - turn.commands
        if len(mail) > room:
            mail, rest = mail[:room], mail[room:]
        else:
            rest = None
        turn.commands += len(mail)
        for index, envelope in enumerate(mail):
            if envelope.reply.done() and not envelope.wanted():
                self._drop(envelope)
                continue
            expected = envelope.expected_version
            if expected is not None and expected != version:
                self._conclude(turn, envelope, _conflict(actor.stream, expected, version), version)
                continue
            try:
                decided: Any = decider.decide(envelope.command, state)
                if decided:
                    state, events, new = self._evolve(turn, decider, state, decided)
                    self._stage(turn, envelope, events, new, version)
                    version += len(events)
                    continue
                if decided is None:
                    raise TypeError("decide returned None; return an empty sequence where nothing happens")
            except Rejected as rejection:
                self._conclude(turn, envelope, rejection, version)
                continue
            except Exception as error:
                self._conclude(turn, envelope, _failed(envelope.command, actor.stream, error), version)
                actor.crashes += 1
                turn.states.append((actor, None, 0))
                return mail[index + 1 :] + (rest or [])
            self._conclude(turn, envelope, None, version)
        if version != actor.version:
            turn.states.append((actor, state, version))
        return rest

    def _evolve(
        self, turn: Turn, decider: Decider[Any, Any, Any], state: State, decided: Any
    ) -> tuple[State, tuple[Event, ...], tuple[NewEvent, ...]]:
        """The state after events that have been through their stored form, and both forms of them."""
        codecs = self._codecs[decider.category]
        events: list[Event] = []
        new: list[NewEvent] = []
        for event in decided:
            if len(events) == self._events_max:
                raise ValueError(f"decide returned more than Limits.command_events_max ({self._events_max}) events")
            codec = codecs.get(event.__class__)
            if codec is None:
                raise TypeError(f"decide returned {event!r}, which is none of the events it declares")
            payload = codec.encode(event)
            if len(payload) > self._event_bytes_max:
                raise ValueError(
                    f"event {codec.name!r} takes {len(payload)} bytes, more than Limits.event_bytes_max "
                    f"({self._event_bytes_max})"
                )
            read = codec.decode(payload)
            if read != event:
                raise ValueError(f"{event!r} would be read back from the store as {read!r}")
            state = decider.evolve(state, read)
            if not isinstance(state, State):
                raise TypeError(f"evolve returned {state!r} for {event!r}, which is no State")
            turn.payload_bytes += len(payload)
            events.append(read)
            new.append(NewEvent(codec.name, payload))
        return state, tuple(events), tuple(new)

    def _stage(
        self, turn: Turn, envelope: Envelope, events: tuple[Event, ...], new: tuple[NewEvent, ...], version: int
    ) -> None:
        turn.staged.append(Staged(envelope, None, events, version + len(events), len(turn.entries)))
        turn.entries.append(
            Append(
                envelope.actor.stream,
                version,
                new,
                envelope.command_id,
                envelope.fingerprint or (fingerprint(envelope.command) if new else b""),
                envelope.correlation_id,
                None,
                envelope.traceparent,
            )
        )

    def _conclude(self, turn: Turn, envelope: Envelope, outcome: BusError | None, version: int) -> None:
        """Stages a decision that records nothing.

        It must go through the store where other writers may have made it wrong, and where its id was named by the
        sender, who may have sent it before. Otherwise it waits only for what it was decided upon.
        """
        if self._confirm or envelope.given:
            self._stage(turn, envelope, (), (), version)
            turn.staged[-1].outcome = outcome
        elif version != envelope.actor.version:
            turn.staged.append(Staged(envelope, outcome, (), version, -1))
        else:
            self._settle(envelope, outcome)


def _conflict(stream: str, expected: int, actual: int) -> VersionConflict:
    return VersionConflict(
        f"stream {stream!r} is at version {actual}, not at the expected {expected}: nothing was recorded. "
        "Read the aggregate again and decide whether the command still makes sense",
        stream=stream,
        expected=expected,
        actual=actual,
    )


def _failed(command: Command, stream: str, error: Exception) -> CommandFailed:
    name = tag_of(type(command))
    failed = CommandFailed(
        f"command {name!r} failed for {stream!r}: {type(error).__name__}: {error}. Nothing was recorded; "
        "this is a bug in the aggregate's code, not a rejection",
        command=name,
        stream=stream,
    )
    failed.__cause__ = error
    return failed
