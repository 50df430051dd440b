"""Reading the event store: the queries, and their rows as the bus sees them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bus.core.stored import StoredEvent, text_fault

_STORED = (
    "e.position, e.stream, e.version, e.name, e.payload, e.recorded_at, "
    "e.command_id, e.fingerprint, e.correlation_id, e.causation_id, e.traceparent"
)

HEAD = "SELECT coalesce(max(position), 0) FROM {schema}.events"

NAMES = "SELECT name, category FROM {schema}.names"

IDENTITY = "SELECT identity FROM {schema}.event_store"

PAGE = f"SELECT {_STORED} FROM {{schema}}.events e WHERE e.position > $1 ORDER BY e.position LIMIT $2"

# For each stream in turn its events in the order of the index: the limits within keep the planner from anything else,
# and so the rows come as they are needed, without a sort that would read all of them before the first.
_OF_STREAMS = """
SELECT {columns} FROM unnest($1::text[], $2::bigint[]) AS wanted(stream, version) CROSS JOIN LATERAL (
    SELECT * FROM {{schema}}.events own WHERE own.stream = wanted.stream AND own.version > wanted.version
    ORDER BY own.version LIMIT $3
) AS e LIMIT $3
"""
STREAM_PAGES = _OF_STREAMS.format(columns=_STORED)
HISTORIES = _OF_STREAMS.format(columns="e.stream, e.name, e.payload")

COMMANDS = f"""
SELECT {_STORED} FROM unnest($1::text[]) AS wanted(command_id) CROSS JOIN LATERAL (
    SELECT * FROM {{schema}}.events own WHERE own.command_id = wanted.command_id ORDER BY own.command_ordinal OFFSET 0
) AS e ORDER BY e.position
"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(moment: datetime) -> int:
    """A time with a zone, as the table holds it."""
    return (moment - _EPOCH) // _MICROSECOND


def stored_events(rows: Iterable[Any]) -> list[StoredEvent]:
    """Rows of the queries above as the bus sees them."""
    found: list[StoredEvent] = []
    last, moment = 0, _EPOCH
    for position, stream, version, name, payload, recorded_at, command, fingerprint, talk, cause, trace in rows:
        # The events of one append have the same time.
        if recorded_at != last:
            last, moment = recorded_at, _EPOCH + recorded_at * _MICROSECOND
        found.append(
            StoredEvent(position, stream, version, name, payload, moment, command, fingerprint, talk, cause, trace)
        )
    return found


def versions(after: Mapping[str, int]) -> tuple[list[str], list[int]]:
    """Streams and versions as the queries take them, without names that no column can hold."""
    named = {stream: version for stream, version in after.items() if text_fault(stream) is None}
    return list(named), list(named.values())


def texts(values: Iterable[str]) -> list[str]:
    """Without what no column can hold."""
    return [value for value in values if text_fault(value) is None]
