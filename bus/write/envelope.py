"""Envelope: a command on its way, with its ids, its deadline and the replies that wait for it."""

from __future__ import annotations

import msgspec

from bus.core.errors import BusError
from bus.core.messages import Command, Receipt
from bus.core.reports import Journey
from bus.runtime.reply import ANSWERED, Reply
from bus.write.directory import Actor

Outcome = Receipt | BusError
"""What a sender is answered; errors are values here, raised only in the sender's own task."""


class Envelope(msgspec.Struct, gc=False, eq=False):
    """One command in flight."""

    command: Command
    actor: Actor
    command_id: str
    given: bool
    """Whether the sender named the id: only then may it have been carried out before."""
    deadline: float
    """On the bus's monotonic clock."""
    reply: Reply
    traceparent: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    expected_version: int | None = None
    fingerprint: bytes = b""
    """Known for those whose sender named the id, empty for others."""
    attempts: int = 0
    """Appends of this command that met another writer's."""
    is_open: bool = True
    """Whether it still counts as in flight."""
    twins: list[Twin] | None = None
    """Later senders of the same command id."""
    sent: float = 0.0
    """When, where there is a telemetry."""
    journey: Journey | None = None
    """Whether its way is told in full."""

    @property
    def stream(self) -> str:
        return self.actor.stream

    def wanted(self) -> bool:
        """Whether anybody still waits for the outcome."""
        if not self.reply.is_done:
            return True
        return self.twins is not None and any(not twin.reply.is_done for twin in self.twins)

    def answer(self, outcome: Outcome) -> None:
        """Gives the outcome to everybody who still waits; twins see it as a duplicate."""
        if not self.reply.is_done:
            self.reply.set_result(outcome)
        if self.twins is not None:
            for twin in self.twins:
                if not twin.reply.is_done:
                    twin.reply.set_result(for_twin(outcome))

    def let_go(self) -> None:
        """Forgets the replies, which are answered.

        An error's traceback leads to the frames that decided, these to the envelope, and its reply to the error again.
        No collector of garbage sees that circle, since envelopes are none of its objects.
        """
        self.reply = ANSWERED
        self.twins = None


class Twin(msgspec.Struct, gc=False, eq=False):
    """Another sender that waits for an envelope's outcome."""

    reply: Reply
    deadline: float
    envelope: Envelope | None = None
    """What it sent, where there is a telemetry."""


def for_twin(outcome: Outcome) -> Outcome:
    """What those are answered who joined a command in flight."""
    if isinstance(outcome, Receipt):
        return msgspec.structs.replace(outcome, duplicate=True)
    return outcome.copy()
