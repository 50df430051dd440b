"""Telemetry for tests: remembers what it was told, and takes its context from a context variable."""

from collections.abc import Sequence
from contextvars import ContextVar

from bus.core.errors import BusError
from bus.core.reports import Failed, Projected, Queried, Recovered, Sent, Turned
from bus.runtime.telemetry import NoTelemetry

TRACEPARENT: ContextVar[str | None] = ContextVar("traceparent", default=None)


class RecordingTelemetry(NoTelemetry):
    """Satisfies the port."""

    def __init__(self) -> None:
        self.commits: list[tuple[int, int]] = []
        """Commands and events of each batch."""
        self.failed_commits: list[tuple[int, int]] = []
        self.outcomes: list[tuple[str, str]] = []
        """Each answered command's type with `ok`, `dropped` or the code of its error, in the order told."""
        self.projections: list[tuple[str, int]] = []
        self.queries: list[tuple[str, str | None]] = []
        self.recoveries: list[Recovered] = []
        self.failures: list[tuple[str, str]] = []

    def sent(self, message: Sent) -> str | None:
        assert message.sent <= message.deadline
        return TRACEPARENT.get()

    def refused(self, command: object, error: BusError) -> None:
        self.outcomes.append((type(command).__name__, error.code))

    def turned(self, turn: Turned) -> None:
        assert turn.started is None or turn.started <= turn.ended
        if turn.batch:
            assert turn.started is not None
            assert turn.committing is not None
            assert turn.started <= turn.committing <= turn.ended
            (self.commits if turn.failure is None else self.failed_commits).append((turn.commands, turn.events))
        for sent, refusal, *_ in turn.decided:
            self.outcomes.append((type(sent.command).__name__, "ok" if refusal is None else refusal.code))
        for sent, outcome in [*turn.answered, *turn.joined]:
            code = "dropped" if outcome is None else outcome.code if isinstance(outcome, BusError) else "ok"
            self.outcomes.append((type(sent.command).__name__, code))

    def recovered(self, actors: Sequence[Recovered]) -> None:
        self.recoveries += actors

    def projected(self, batch: Projected) -> None:
        assert batch.started <= batch.ended
        self.projections.append((batch.projection, batch.read))

    def queried(self, query: Queried) -> None:
        assert query.started <= query.ended
        self.queries.append((query.query, None if query.error is None else query.error.code))

    def failed(self, failure: Failed) -> None:
        self.failures.append((failure.part, failure.name))
