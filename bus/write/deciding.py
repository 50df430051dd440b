"""Deciding: runs the mail of many actors through their deciders and stages what is to be committed."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from bus.core.application import Application
from bus.core.decider import Decider
from bus.core.errors import BusError, Rejected
from bus.core.limits import Limits
from bus.core.messages import Event, State
from bus.core.schema import EventCodec
from bus.core.stored import Append, NewEvent
from bus.write.answers import conflict, failed
from bus.write.directory import Actor
from bus.write.envelope import Envelope
from bus.write.fingerprint import fingerprint


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
        self._codecs: Mapping[Decider[Any, Any, Any], Mapping[type[Event], EventCodec]] = {
            decider: {event: by_type[event] for event in decider.events} for decider in application.deciders
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
        taken, again = turn.taken, turn.again
        for index, actor in enumerate(actors):
            if turn.commands >= self._commands_max or turn.payload_bytes >= self._bytes_max:
                again.extend(actors[index:])
                break
            actor.busy = True
            if actor.state is None:
                turn.cold.append(actor)
                continue
            mail = actor.mail
            assert mail is not None, "only actors with mail are ready"
            actor.mail = None
            taken.append(mail)
            rest = self._decide_mail(turn, actor, mail)
            if rest:
                actor.mail = rest
                again.append(actor)

    def _decide_mail(self, turn: Turn, actor: Actor, mail: list[Envelope]) -> list[Envelope] | None:
        """Decides one actor's mail in the order sent; returns what must wait for another turn.

        This is the bus's hottest loop: it calls the user's functions and little else.
        """
        room = self._commands_max - turn.commands
        rest = None
        if len(mail) > room:
            mail, rest = mail[:room], mail[room:]
        turn.commands += len(mail)
        state, version = actor.state, actor.version
        decide = actor.decider.decide
        entries, staged = turn.entries, turn.staged
        for index, envelope in enumerate(mail):
            if envelope.reply.done() and not envelope.wanted():
                self._drop(envelope)
                continue
            expected = envelope.expected_version
            if expected is not None and expected != version:
                self._conclude(turn, envelope, conflict(actor.stream, expected, version), version)
                continue
            command = envelope.command
            try:
                decided = decide(command, state)
                if decided:
                    state, events, new = self._evolve(turn, actor.decider, state, decided)
                    digest = envelope.fingerprint or fingerprint(command)
                else:
                    _check_nothing(decided)
                    self._conclude(turn, envelope, None, version)
                    continue
            except Rejected as rejection:
                self._conclude(turn, envelope, rejection, version)
                continue
            except Exception as error:
                self._conclude(turn, envelope, failed(command, actor.stream, error), version)
                actor.crashes += 1
                turn.states.append((actor, None, 0))
                return mail[index + 1 :] + (rest or [])
            entry = Append(
                actor.stream,
                version,
                new,
                envelope.command_id,
                digest,
                envelope.correlation_id,
                None,
                envelope.traceparent,
            )
            version += len(new)
            staged.append(Staged(envelope, None, events, version, len(entries)))
            entries.append(entry)
        if version != actor.version:
            turn.states.append((actor, state, version))
        return rest

    def _evolve(
        self, turn: Turn, decider: Decider[Any, Any, Any], state: Any, decided: Any
    ) -> tuple[State, tuple[Event, ...], tuple[NewEvent, ...]]:
        """The state after events that have been through their stored form, and both forms of them."""
        codecs = self._codecs[decider]
        evolve = decider.evolve
        events: tuple[Event, ...] = ()
        new: tuple[NewEvent, ...] = ()
        for event in decided:
            if len(new) == self._events_max:
                raise ValueError(f"decide returned more than Limits.command_events_max ({self._events_max}) events")
            codec = codecs.get(event.__class__)
            if codec is None:
                raise TypeError(f"decide returned {event!r}, which is none of the events it declares")
            payload = codec.encode(event)
            read = codec.decode(payload)
            if read != event:
                raise ValueError(f"{event!r} would be read back from the store as {read!r}")
            size = len(payload)
            if size > self._event_bytes_max:
                raise ValueError(f"event {codec.name!r} takes {size} bytes, more than Limits.event_bytes_max")
            turn.payload_bytes += size
            after = evolve(state, read)
            if after.__class__ is not state.__class__ and not isinstance(after, State):
                raise TypeError(f"evolve returned {after!r} for {event!r}, which is no State")
            state = after
            # One event is the rule; tuples grow more cheaply than lists are made into tuples.
            events += (read,)
            new += (NewEvent(codec.name, payload),)
        return state, events, new

    def _conclude(self, turn: Turn, envelope: Envelope, outcome: BusError | None, version: int) -> None:
        """Stages a decision that records nothing.

        It must go through the store where other writers may have made it wrong, and where its id was named by the
        sender, who may have sent it before. Otherwise it waits only for what it was decided upon.
        """
        if self._confirm or envelope.given:
            turn.staged.append(Staged(envelope, outcome, (), version, len(turn.entries)))
            turn.entries.append(Append(envelope.actor.stream, version, (), envelope.command_id, envelope.fingerprint))
        elif version != envelope.actor.version:
            turn.staged.append(Staged(envelope, outcome, (), version, -1))
        else:
            self._settle(envelope, outcome)


def _check_nothing(decided: Any) -> None:
    if decided is None:
        raise TypeError("decide returned None; return an empty sequence where nothing happens")
