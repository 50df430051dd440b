"""Deadlines: answers commands whose time is up, with one timer for all of them."""

import math
from collections.abc import Callable, Iterable

from bus.core.errors import DeadlineExceeded, Overloaded
from bus.ports import Clock
from bus.runtime.reply import Reply
from bus.runtime.signal import Signal
from bus.write.answers import unknown
from bus.write.directory import Actor
from bus.write.envelope import Envelope, Outcome, Twin


class Deadlines:
    """The earliest deadline in flight, and a look at everything in flight when it has come.

    A timer per command would cost more than the command. With the default timeout all deadlines lie far behind the
    earliest, so a look is taken once in many thousand commands.
    """

    def __init__(
        self,
        *,
        mailboxes: Callable[[], Iterable[Actor]],
        staged: Callable[[], Iterable[Envelope]],
        mailbox_commands_max: int,
        clock: Clock,
        new_reply: Callable[[], Reply],
    ) -> None:
        self._mailboxes = mailboxes
        self._staged = staged
        self._mailbox_commands_max = mailbox_commands_max
        self._clock = clock
        self._signal = Signal(new_reply)
        self.next = math.inf
        """The earliest deadline that is noted."""
        self.expired = 0

    def note(self, deadline: float) -> None:
        """Takes a new command's deadline into account."""
        if deadline < self.next:
            self.next = deadline
            self._signal.set()

    async def run(self) -> None:
        """Looks whenever the earliest deadline has come."""
        while True:
            await self._signal.wait(self.next)
            now = self._clock.monotonic()
            if now >= self.next:
                self.next = self.expire(now)

    def expire(self, now: float) -> float:
        """Answers everybody whose deadline is not after `now`; returns the earliest of the others."""
        earliest = math.inf
        for actor in self._mailboxes():
            for place, envelope in enumerate(actor.mail or ()):
                in_mailbox = place < self._mailbox_commands_max
                earliest = min(earliest, self._check(envelope, now, _late if in_mailbox else _overloaded))
        for envelope in self._staged():
            earliest = min(earliest, self._check(envelope, now, _uncertain))
        return earliest

    def _check(self, envelope: Envelope, now: float, error: Callable[[Envelope, bool], Outcome]) -> float:
        everybody: list[Envelope | Twin] = [envelope, *(envelope.twins or ())]
        waiting = [one for one in everybody if not one.reply.is_done]
        in_time = [one.deadline for one in waiting if one.deadline > now]
        for one in waiting:
            if one.deadline <= now:
                self.expired += 1
                one.reply.set_result(error(envelope, bool(in_time)))
        return min(in_time, default=math.inf)


def _late(envelope: Envelope, is_wanted: bool) -> Outcome:
    if is_wanted:
        return unknown(envelope, "its deadline passed while another sender of the same command still waits for it")
    stream = envelope.actor.stream
    return DeadlineExceeded(
        f"the deadline of command {envelope.command_id!r} to {stream!r} passed before it was decided: nothing was "
        "recorded, and it will not be. Send it again, with more time",
        stream=stream,
    )


def _overloaded(envelope: Envelope, is_wanted: bool) -> Outcome:
    if is_wanted:
        return _late(envelope, is_wanted)
    stream = envelope.actor.stream
    return Overloaded(
        f"the mailbox of {stream!r} had no room for command {envelope.command_id!r} before its deadline: nothing was "
        "recorded. Send to this aggregate more slowly, or with more time",
        stream=stream,
    )


def _uncertain(envelope: Envelope, _: bool) -> Outcome:
    return unknown(envelope, "its deadline passed while it was being recorded")
