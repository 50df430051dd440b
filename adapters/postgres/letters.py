"""Dead letters and requests: their rows, and the queries for them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from bus.core.letters import DeadLetter, Request
from bus.core.stored import ViewChanges, ViewTable

_COLUMNS = "position, key, stream, stream_version, name, error, attempts, first_at, last_at, trace_id"

PARKED_KEYS = "SELECT key, count(*) FROM {schema}.letters WHERE projection_key = $1 GROUP BY key"
LETTERS_BETWEEN = f"""
SELECT {_COLUMNS} FROM {{schema}}.letters WHERE projection_key = $1 AND position BETWEEN $2 AND $3
ORDER BY position, key LIMIT 1000
"""
LETTERS = f"""
SELECT {_COLUMNS} FROM {{schema}}.letters WHERE projection_key = $1 AND (position, key) > ($2, $3::text COLLATE "C")
ORDER BY position, key LIMIT $4
"""
LETTERS_OF_KEY = f"""
SELECT {_COLUMNS} FROM {{schema}}.letters
WHERE projection_key = $1 AND key = $5 AND (position, key) > ($2, $3::text COLLATE "C") ORDER BY position LIMIT $4
"""
ASK = "INSERT INTO {schema}.requests(id, is_open, request) VALUES ($1, true, $2)"
# So that what nobody looks at any more does not grow for ever.
FORGET = """
DELETE FROM {schema}.requests
WHERE NOT is_open AND request_key <= (SELECT max(request_key) FROM {schema}.requests) - 1000
"""
ANSWER = "UPDATE {schema}.requests SET is_open = false, request = $2 WHERE id = $1 AND is_open"
REQUESTS = "SELECT request FROM {schema}.requests WHERE is_open = $1 ORDER BY request_key LIMIT $2"
ASKED = "SELECT request FROM {schema}.requests WHERE id = $1"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def texts_of(changes: ViewChanges) -> tuple[str, str]:
    """Letters that go and letters that come, as JSON."""
    gone = [{"key": key, "position": position} for key, position in changes.unparked]
    kept = [
        {
            "position": letter.position,
            "key": letter.key,
            "stream": letter.stream,
            "stream_version": letter.stream_version,
            "name": letter.name,
            "error": letter.error,
            "attempts": letter.attempts,
            "first_at": (letter.first_at - _EPOCH) // _MICROSECOND,
            "last_at": (letter.last_at - _EPOCH) // _MICROSECOND,
            "trace_id": letter.trace_id,
        }
        for letter in changes.parked
    ]
    return msgspec.json.encode(gone).decode(), msgspec.json.encode(kept).decode()


def letters_of(table: ViewTable, rows: Sequence[Any]) -> list[DeadLetter]:
    """Letters from their rows."""
    return [
        DeadLetter(
            projection=table.projection,
            version=table.version,
            position=position,
            key=key,
            stream=stream,
            stream_version=stream_version,
            name=name,
            error=error,
            attempts=attempts,
            first_at=_EPOCH + first_at * _MICROSECOND,
            last_at=_EPOCH + last_at * _MICROSECOND,
            trace_id=trace_id,
        )
        for position, key, stream, stream_version, name, error, attempts, first_at, last_at, trace_id in rows
    ]


def text_of(request: Request) -> str:
    """As it is kept."""
    return msgspec.json.encode(request).decode()


def requests_of(rows: Sequence[Any]) -> list[Request]:
    """Requests from their rows."""
    return [msgspec.json.decode(row[0], type=Request) for row in rows]
