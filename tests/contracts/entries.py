"""Entries for event stores in tests: as short to write as what they are about."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from bus.core.stored import Append, NewEvent, StoredEvent

NOON = datetime(2013, 1, 1, 12, 0, 0, 123_456, tzinfo=UTC)


def entry(stream: str, expected: int, command_id: str, events: int | Sequence[NewEvent] = 1) -> Append:
    """What one command records: some events, or that many of no interest."""
    if isinstance(events, int):
        events = [NewEvent(f"event-{number}", b"{}") for number in range(events)]
    return Append(stream, expected, tuple(events), command_id, f"print of {command_id}".encode())


def places(events: Iterable[StoredEvent]) -> list[tuple[int, str, int]]:
    """Where events are: position, stream and version."""
    return [(event.position, event.stream, event.version) for event in events]
