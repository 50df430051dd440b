"""Telemetry for tests: remembers what it was told, and takes its context from a context variable."""

from contextvars import ContextVar

TRACEPARENT: ContextVar[str | None] = ContextVar("traceparent", default=None)


class RecordingTelemetry:
    """Satisfies the port."""

    def __init__(self) -> None:
        self.commits: list[tuple[int, int]] = []
        """Commands and events of each batch."""
        self.projections: list[tuple[str, int]] = []
        self.queries: list[tuple[str, str | None]] = []

    def context(self) -> str | None:
        return TRACEPARENT.get()

    def committed(self, commands: int, events: int, seconds: float) -> None:
        assert seconds >= 0
        self.commits.append((commands, events))

    def projected(self, projection: str, events: int, seconds: float) -> None:
        assert seconds >= 0
        self.projections.append((projection, events))

    def queried(self, query: str, seconds: float, code: str | None) -> None:
        assert seconds >= 0
        self.queries.append((query, code))
