"""Intake: turns a command into an envelope in the right mailbox, and keeps count of what is in flight."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from bus.core.application import Application
from bus.core.decider import Decider
from bus.core.errors import BusClosed, NotRecorded, in_words
from bus.core.fingerprint import fingerprint
from bus.core.limits import Limits
from bus.core.messages import Command
from bus.core.names import id_fault
from bus.core.reports import Journey
from bus.ports import Clock, Ids
from bus.runtime.reply import Reply
from bus.write.answers import failed_before, no_time, overloaded, reused, unknown_command
from bus.write.deadlines import Deadlines
from bus.write.directory import Actor, Directory
from bus.write.envelope import Envelope, Outcome, Twin
from bus.write.observing import Observing

_Route = tuple[Callable[[Any], str], str, Decider[Any, Any, Any]]
"""Where the commands of one type go: `identify`, the category with its `-`, and the decider."""


class Intake:
    """Steps 1 to 3 of a command's journey: send, route, mailbox."""

    def __init__(
        self,
        application: Application,
        directory: Directory,
        *,
        wake: Callable[[Actor], None],
        deadlines: Deadlines,
        new_reply: Callable[[], Reply],
        clock: Clock,
        ids: Ids,
        observing: Observing | None,
        limits: Limits,
    ) -> None:
        self._routes: Mapping[type[Command], _Route] = {
            command: (decider.identify, f"{decider.category}-", decider)
            for command, decider in application.decider_of.items()
        }
        self._directory = directory
        self._actors = directory.actors
        self._wake = wake
        self._deadlines = deadlines
        self._new_reply = new_reply
        self._monotonic = clock.monotonic
        self._new_id = ids.new
        self._observing = observing
        self._tell = None if observing is None else observing.tell
        self._limits = limits
        self._send_timeout_s = limits.send_timeout_s
        self._bus_commands_max = limits.bus_commands_max
        self._given: dict[str, Envelope] = {}
        """In flight under an id that the sender named."""
        self._idle_waiters: list[Reply] = []
        self.in_flight = 0
        self.is_open = True

    def submit(
        self,
        command: Command,
        command_id: str | None = None,
        expected_version: int | None = None,
        timeout: float | None = None,
        correlation_id: str | None = None,
        *,
        causation_id: str | None = None,
    ) -> Reply:
        """Puts the command into its actor's mailbox; the reply's result is an `Outcome`.

        Raises the subclasses of `NotRecorded` that need no look at the aggregate.
        """
        if not self.is_open:
            raise BusClosed("the bus is closed: nothing was recorded. Send commands inside its `async with` block")
        route = self._routes.get(command.__class__)
        if route is None:
            raise unknown_command(command)
        identify, prefix, decider = route
        aggregate_id = None
        try:
            aggregate_id = identify(command)
            stream = prefix + aggregate_id
        except Exception as error:
            why = f"finding its aggregate raised {in_words(error)}"
            if aggregate_id is not None:
                why = f"its aggregate's id is {id_fault(aggregate_id)}"
            raise failed_before(command, None, why) from error
        if self.in_flight >= self._bus_commands_max:
            raise overloaded(stream, self.in_flight)
        if timeout is not None or correlation_id is not None or causation_id is not None:
            _check(command, stream, timeout, correlation_id, causation_id)
            if timeout is not None and timeout <= 0 and not self._is_given(command_id):
                raise no_time(stream, timeout)
        actor = self._actors.get(stream) or self._new_actor(decider, command, aggregate_id, stream)
        now = self._monotonic()
        deadline = now + (self._send_timeout_s if timeout is None else timeout)
        reply = self._new_reply()
        the_id = self._new_id() if command_id is None else command_id
        envelope = Envelope(command, actor, the_id, False, deadline, reply, None, correlation_id, causation_id)
        tell = self._tell
        if tell is not None:
            envelope.sent = now
            if (told := tell(envelope)) is not None:
                _note(envelope, told)
        if expected_version is not None:
            envelope.expected_version = expected_version
        if command_id is not None:
            try:
                if self._joined(envelope, command_id):
                    return reply
            except NotRecorded:
                self._directory.discard(actor)
                raise
        self.in_flight += 1
        if deadline < self._deadlines.next:
            self._deadlines.note(deadline)
        mail = actor.mail
        if mail is None:
            actor.mail = [envelope]
            self._wake(actor)
        else:
            mail.append(envelope)
        return reply

    def _new_actor(self, decider: Decider[Any, Any, Any], command: Command, aggregate_id: str, stream: str) -> Actor:
        fault = id_fault(aggregate_id)
        if fault is not None:
            raise failed_before(command, None, f"its aggregate's id is {fault}")
        return self._directory.actor(stream, decider)

    def _is_given(self, command_id: object) -> bool:
        return isinstance(command_id, str) and command_id in self._given

    def _joined(self, envelope: Envelope, command_id: str) -> bool:
        """Registers a command id that the sender named; True where the command now waits for its twin in flight."""
        fault = id_fault(command_id)
        if fault is not None:
            raise failed_before(envelope.command, envelope.actor.stream, f"its command id is {fault}")
        envelope.given = True
        try:
            envelope.fingerprint = fingerprint(envelope.command)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise failed_before(envelope.command, envelope.actor.stream, f"it cannot be encoded: {error}") from error
        first = self._given.get(command_id)
        if first is None or _is_given_up(first):
            self._given[command_id] = envelope
            return False
        if first.actor.stream != envelope.actor.stream or first.fingerprint != envelope.fingerprint:
            raise reused(command_id, first.actor.stream)
        if first.twins is None:
            first.twins = []
        first.twins.append(Twin(envelope.reply, envelope.deadline, None if self._observing is None else envelope))
        self.in_flight += 1
        self._deadlines.note(envelope.deadline)
        return True

    def settle(self, envelope: Envelope, outcome: Outcome, *, is_dropped: bool = False) -> None:
        """Answers a command and everybody who joined it."""
        assert envelope.is_open, "a command is settled once"
        envelope.is_open = False
        if envelope.given and self._given.get(envelope.command_id) is envelope:
            del self._given[envelope.command_id]
        envelope.answer(outcome)
        if self._observing is not None:
            self._observing.answered(envelope, None if is_dropped else outcome)
        commands = 1 if envelope.twins is None else 1 + len(envelope.twins)
        envelope.let_go()
        self.settled(commands)

    def settled(self, commands: int) -> None:
        """Counts commands that are in flight no longer."""
        self.in_flight -= commands
        if self._idle_waiters and not self.in_flight:
            waiters, self._idle_waiters = self._idle_waiters, []
            for waiter in waiters:
                if not waiter.is_done:
                    waiter.set_result(None)

    async def wait_idle(self) -> None:
        """Returns when no command is in flight."""
        while self.in_flight:
            waiter = self._new_reply()
            self._idle_waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._idle_waiters:
                    self._idle_waiters.remove(waiter)

    def drop(self, envelope: Envelope) -> None:
        """Forgets a command that nobody waits for any more and that was never decided."""
        assert not envelope.wanted()
        self.settle(envelope, BusClosed("nobody waited for this command"), is_dropped=True)


def _note(envelope: Envelope, told: Journey | str) -> None:
    """What the telemetry says of a command: its trace, or that its way is to be told in full."""
    if isinstance(told, str):
        envelope.traceparent = told
    else:
        envelope.journey, envelope.traceparent = told, told.traceparent


def _is_given_up(envelope: Envelope) -> bool:
    """Whether nobody waits for it and it is not decided: whoever sends it now does so anew, behind what came since."""
    return not envelope.wanted() and envelope in (envelope.actor.mail or ())


def _check(
    command: Command, stream: str, timeout: float | None, correlation_id: str | None, causation_id: str | None
) -> None:
    """Refuses what would harm others later: a batch at the store, or the one timer."""
    if timeout is not None and (not isinstance(timeout, int | float) or math.isnan(timeout)):
        raise failed_before(command, stream, f"its timeout is {timeout!r}, not a number of seconds")
    for what, given in (("correlation", correlation_id), ("causation", causation_id)):
        if given is not None and (fault := id_fault(given)) is not None:
            raise failed_before(command, stream, f"its {what} id is {fault}")
