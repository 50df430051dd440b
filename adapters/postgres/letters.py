"""Dead letters and requests: their rows, and the queries for them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from bus.core.letters import LETTER_COLUMNS, DeadLetter, Request, letter_of_row, row_of
from bus.core.stored import ViewChanges, ViewTable

_COLUMNS = ", ".join(LETTER_COLUMNS)

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


def texts_of(changes: ViewChanges) -> tuple[str, str]:
    """Letters that go and letters that come, as JSON."""
    gone = [{"key": key, "position": position} for key, position in changes.unparked]
    kept = [dict(zip(LETTER_COLUMNS, row_of(letter), strict=True)) for letter in changes.parked]
    return msgspec.json.encode(gone).decode(), msgspec.json.encode(kept).decode()


def letters_of(table: ViewTable, rows: Sequence[Any]) -> list[DeadLetter]:
    """Letters from their rows."""
    return [letter_of_row(table.projection, table.version, row) for row in rows]


def text_of(request: Request) -> str:
    """As it is kept."""
    return msgspec.json.encode(request).decode()


def requests_of(rows: Sequence[Any]) -> list[Request]:
    """Requests from their rows."""
    return [msgspec.json.decode(row[0], type=Request) for row in rows]
