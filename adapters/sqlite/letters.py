"""Dead letters and requests: their rows, and the statements on them."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from adapters.sqlite.transaction import transaction
from bus.core.letters import LETTER_COLUMNS, DeadLetter, Request, letter_of_row, row_of
from bus.core.stored import ViewChanges, ViewTable, text_fault

_COLUMNS = ", ".join(LETTER_COLUMNS)
_PUT = f"INSERT OR REPLACE INTO letters(projection_key, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REMOVE = "DELETE FROM letters WHERE projection_key = ? AND position = ? AND key = ?"
_KEYS = "SELECT key, count(*) FROM letters WHERE projection_key = ? GROUP BY key"
LETTERS_BETWEEN = f"""
SELECT {_COLUMNS} FROM letters WHERE projection_key = ? AND position BETWEEN ? AND ? ORDER BY position, key LIMIT 1000
"""
_LETTERS = f"""
SELECT {_COLUMNS} FROM letters WHERE projection_key = ? AND (position, key) > (?, ?) ORDER BY position, key LIMIT ?
"""
_LETTERS_OF_KEY = f"""
SELECT {_COLUMNS} FROM letters
WHERE projection_key = ? AND key = ? AND (position, key) > (?, ?) ORDER BY position LIMIT ?
"""
_ASK = "INSERT INTO requests(id, is_open, request) VALUES (?, 1, ?)"
# So that what nobody looks at any more does not grow for ever.
_FORGET = """
DELETE FROM requests WHERE is_open = 0 AND request_key <= (SELECT max(request_key) FROM requests) - 1000
"""
_ANSWER = "UPDATE requests SET is_open = 0, request = ? WHERE id = ? AND is_open = 1"
_REQUESTS = "SELECT request FROM requests WHERE is_open = ? ORDER BY request_key LIMIT ?"
_ASKED = "SELECT request FROM requests WHERE id = ?"

T = TypeVar("T")


class LetterGone(Exception):
    """A letter that was to be removed is not there."""


def change_letters(connection: sqlite3.Connection, projection_key: int, changes: ViewChanges) -> None:
    """Keeps and removes letters in the caller's transaction; raises `LetterGone`, with which that must end."""
    for key, position in changes.unparked:
        if connection.execute(_REMOVE, (projection_key, position, key)).rowcount != 1:
            raise LetterGone
    connection.executemany(_PUT, [(projection_key, *row_of(letter)) for letter in changes.parked])


def in_transaction(connection: sqlite3.Connection, url: str, work: Callable[..., T], *arguments: object) -> T:
    """What `work` returns, in a transaction of its own."""
    with transaction(connection, url):
        return work(connection, *arguments)


def in_reading(connection: sqlite3.Connection, url: str, work: Callable[..., T], *arguments: object) -> T:
    """What `work` returns, which sees one state of the file and changes nothing."""
    with transaction(connection, url, reads_only=True):
        return work(connection, *arguments)


def parked_keys(connection: sqlite3.Connection, projection_key: int) -> dict[str, int]:
    """By key, the number of its letters."""
    return dict(connection.execute(_KEYS, (projection_key,)).fetchall())


def find_letters(
    connection: sqlite3.Connection,
    projection_key: int,
    table: ViewTable,
    key: str | None,
    page: tuple[int, str, int],
) -> list[DeadLetter]:
    """See the port; `page` is the place before and the limit."""
    if key is None:
        rows = connection.execute(_LETTERS, (projection_key, *page))
    elif text_fault(key) is not None:
        return []
    else:
        rows = connection.execute(_LETTERS_OF_KEY, (projection_key, key, *page))
    return letters_of(table, rows.fetchall())


def letters_of(table: ViewTable, rows: Sequence[Any]) -> list[DeadLetter]:
    """Letters from their rows."""
    return [letter_of_row(table.projection, table.version, row) for row in rows]


def keep_request(connection: sqlite3.Connection, request: Request) -> None:
    """Adds one, and forgets those that were answered long ago."""
    connection.execute(_ASK, (request.id, _text(request)))
    connection.execute(_FORGET)


def answer_request(connection: sqlite3.Connection, request: Request) -> None:
    """Replaces one by its answered form."""
    connection.execute(_ANSWER, (_text(request), request.id))


def find_requests(connection: sqlite3.Connection, is_open: bool, limit: int) -> list[Request]:
    """Oldest first."""
    rows = connection.execute(_REQUESTS, (int(is_open), limit)).fetchall()
    return [msgspec.json.decode(text, type=Request) for (text,) in rows]


def find_request(connection: sqlite3.Connection, request_id: str) -> Request | None:
    """The one of that id."""
    row = connection.execute(_ASKED, (request_id,)).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=Request)


def _text(request: Request) -> str:
    return msgspec.json.encode(request).decode()
