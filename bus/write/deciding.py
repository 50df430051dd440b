"""Deciding: runs the mail of many actors through their deciders and stages what is to be committed."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from bus.core.application import Application
from bus.core.decider import Decider
from bus.core.errors import BusError, CommandFailed, Rejected
from bus.core.limits import Limits
from bus.core.messages import Event, State
from bus.core.stored import Append, NewEvent
from bus.runtime.log import log, placed, safe, told
from bus.write.answers import conflict, failed
from bus.write.directory import Actor
from bus.write.envelope import Envelope

Staged = tuple[Envelope, BusError | None, tuple[Event, ...], int, State | None, int]
"""One command's decision, which stands once everything staged before it for the same actor is durable.

Its outcome, None where it succeeds; its events; the version after them; the actor's state then, None to drop it; and
the index of its entry in the batch, -1 where it has none and only waits for those before it. A plain tuple, since one
is made and taken apart for every command.
"""

_Codec = tuple[str, Callable[[Any], bytes], Callable[[bytes], Event]]


class Turn:
    """What one turn decided, on states that nobody sees before they are committed."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.entries: list[Append] = []
        self.staged: list[Staged] = []
        """In the order decided; per actor that is the order sent."""
        self.taken: list[list[Envelope]] = []
        """The mail that was looked at, some of which may be in its mailbox again, undecided."""
        self.actors: list[Actor] = []
        """Whose mail that is: the turn has them until it gives them back, and no other may decide for them."""
        self.cold: list[Actor] = []
        self.again: list[Actor] = []
        """Actors with mail left for the next turn."""
        self.commands = 0
        self.payload_bytes = 0
        self.events = 0
        """Recorded by a batch of which nothing was refused."""


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
        self._codecs: Mapping[Decider[Any, Any, Any], Mapping[type[Event], _Codec]] = {
            decider: {
                event: (by_type[event].name, by_type[event].encode, by_type[event].decode) for event in decider.events
            }
            for decider in application.deciders
        }
        self._confirm = confirm
        self._settle = settle
        self._drop = drop
        self._commands_max = limits.batch_commands_max
        self._batch_bytes_max = limits.batch_bytes_max
        self._events_max = limits.command_events_max
        self._bytes_max = limits.event_bytes_max

    def decide(self, turn: Turn, actors: list[Actor]) -> None:
        """Decides, into `turn`, the mail of as many actors as one batch may take."""
        taken, again, bytes_max = turn.taken, turn.again, self._batch_bytes_max
        room = self._commands_max
        for index, actor in enumerate(actors):
            if room <= 0 or turn.payload_bytes >= bytes_max:
                # Before those who had their share: a mailbox that never empties keeps nobody from their turn.
                again[:0] = actors[index:]
                actors = actors[:index]
                break
            actor.busy = True
            if actor.state is None:
                turn.cold.append(actor)
                continue
            mail = actor.mail
            assert mail is not None, "only actors with mail are ready"
            actor.mail = None
            left: list[Envelope] = []
            if len(mail) > room:
                mail, left = mail[:room], mail[room:]
            taken.append(mail)
            room -= len(mail)
            rest = self._decide_mail(turn, actor, mail)
            if rest or left:
                actor.mail = [*(rest or ()), *left]
                again.append(actor)
        turn.commands = self._commands_max - room
        turn.actors = [mail[0].actor for mail in taken] if turn.cold else actors

    def _decide_mail(self, turn: Turn, actor: Actor, mail: list[Envelope]) -> list[Envelope] | None:
        """Decides one actor's mail in the order sent; returns what must wait for another turn.

        This is the bus's hottest loop, and therefore one: a call costs as much as the encoding of an event.
        """
        decider, stream, state, version = actor.decider, actor.stream, actor.state, actor.version
        decide, evolve, codecs, bytes_max = decider.decide, decider.evolve, self._codecs[decider], self._bytes_max
        entries, staged = turn.entries, turn.staged
        for envelope in mail:
            if envelope.reply.is_done and not envelope.wanted():
                self._drop(envelope)
                continue
            expected = envelope.expected_version
            if expected is not None and expected != version:
                self._conclude(turn, envelope, conflict(stream, expected, version), version, state)
                continue
            command = envelope.command
            events: tuple[Event, ...] = ()
            new: tuple[NewEvent, ...] = ()
            try:
                decided = decide(command, state)
                if not decided:
                    _check_nothing(decided)
                    self._conclude(turn, envelope, None, version, state)
                    continue
                after: Any = state
                for event in decided:
                    name, encode, decode = codecs.get(event.__class__) or _undeclared(event)
                    payload = encode(event)
                    read = decode(payload)
                    before, after = after, evolve(after, read)
                    # One event is the rule, for which this is cheaper than lists made into tuples.
                    one = NewEvent(name, payload)
                    events, new = ((*events, read), (*new, one)) if new else ((read,), (one,))
                    size = len(payload)
                    if read != event or after.__class__ is not before.__class__ or size > bytes_max or len(new) > 1:
                        self._check(event, read, after, new)
                    turn.payload_bytes += size
            except Rejected as rejection:
                self._conclude(turn, envelope, rejection, version, state)
                continue
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                self._fail(turn, envelope, error, version)
                return mail[mail.index(envelope) + 1 :]
            state = after
            staged.append((envelope, None, events, version + len(new), after, len(entries)))
            told, talk, cause = envelope.fingerprint or command, envelope.correlation_id, envelope.causation_id
            entries.append(Append(stream, version, new, envelope.command_id, told, talk, cause, envelope.traceparent))
            version += len(new)
            if turn.payload_bytes >= self._batch_bytes_max:
                return mail[mail.index(envelope) + 1 :]
        return None

    def _check(self, event: Event, read: Event, after: object, new: tuple[NewEvent, ...]) -> None:
        """Raises for what a decider may not do with its last event."""
        if read != event:
            raise ValueError(f"{event!r} would be read back from the store as {read!r}")
        if not isinstance(after, State):
            raise TypeError(f"evolve returned {after!r} for {event!r}, which is no State")
        if len(new) > self._events_max:
            raise ValueError(f"decide returned more than {self._events_max} events, which is Limits.command_events_max")
        if len(new[-1].payload) > self._bytes_max:
            raise ValueError(
                f"event {new[-1].name!r} takes {len(new[-1].payload)} bytes, more than Limits.event_bytes_max "
                f"({self._bytes_max})"
            )

    def _fail(self, turn: Turn, envelope: Envelope, error: BaseException, version: int) -> None:
        """Stages what a bug answers, and drops the state. In a plain call not even a cancellation is the bus's own."""
        actor = envelope.actor
        actor.crashes += 1
        log.warning(
            "actor failed and is restarted",
            code=CommandFailed.code,
            correlation_id=envelope.correlation_id or envelope.command_id,
            command_id=envelope.command_id,
            command=type(envelope.command).__name__,
            stream=actor.stream,
            crashes=actor.crashes,
            error=told(error),
            **placed(envelope.traceparent),
            **safe(envelope.command),
        )
        if not self._conclude(turn, envelope, failed(envelope.command, actor.stream, error), version, None):
            actor.state = None

    def _conclude(
        self, turn: Turn, envelope: Envelope, outcome: BusError | None, version: int, state: State | None
    ) -> bool:
        """Stages a decision that records nothing; False where it need not be and is answered already.

        It must go through the store where other writers may have made it wrong, and where its id was named by the
        sender, who may have sent it before. Otherwise it waits only for what it was decided upon.
        """
        actor, entry = envelope.actor, -1
        if self._confirm or envelope.given:
            entry = len(turn.entries)
            turn.entries.append(Append(actor.stream, version, (), envelope.command_id, envelope.fingerprint))
        elif version == actor.version:
            self._settle(envelope, outcome)
            return False
        turn.staged.append((envelope, outcome, (), version, state, entry))
        return True


def _undeclared(event: object) -> NoReturn:
    raise TypeError(f"decide returned {event!r}, which is none of the events it declares")


def _check_nothing(decided: Any) -> None:
    if decided is None:
        raise TypeError("decide returned None; return an empty sequence where nothing happens")
