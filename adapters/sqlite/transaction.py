"""A write transaction: all of it or nothing, with every failure told as certain or in doubt."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

from adapters.sqlite.errors import DATA_ERRORS, DRIVER_ERRORS, after_commit, unavailable

HUGE_ROWS = 1_000
LARGE_ROWS = 256
SMALL_ROWS = 64
VALUES_MAX = 32_766
"""Of one statement, as SQLite is built."""


@contextmanager
def transaction(connection: sqlite3.Connection, url: str, *, reads_only: bool = False) -> Generator[None]:
    """Begins, and commits at the end; rolls back when the body raises.

    Raises `StoreUnavailable` when nothing was recorded, `CommitInDoubt` when that is not certain. Constraints that do
    not hold and values that cannot be stored pass as the driver's errors, rolled back, to be dealt with by the caller.
    One that only reads waits for no writer, and keeps none waiting.
    """
    try:
        if reads_only:
            connection.execute("BEGIN")
        else:
            connection.execute("BEGIN IMMEDIATE")
        yield
    except BaseException as error:
        roll_back(connection)
        if isinstance(error, DRIVER_ERRORS) and not isinstance(error, (sqlite3.IntegrityError, *DATA_ERRORS)):
            raise unavailable(error, url) from error
        raise
    try:
        connection.execute("COMMIT")
    except DRIVER_ERRORS as error:
        roll_back(connection)
        raise after_commit(error, url) from error


def roll_back(connection: sqlite3.Connection) -> None:
    """Leaves no transaction open; never raises."""
    # SQLite rolls back by itself when the disk is full, and what made the transaction fail may fail this too; the
    # first error is the one to tell.
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except DRIVER_ERRORS:
            return


class ManyRows:
    """A statement that takes many rows at a time.

    Each step of a statement gives the interpreter's lock away and must win it back, against a busy event loop in up
    to 5 ms: with `executemany` that is once a row. So rows go in by the hundred, or by the thousand, with the rest in
    one statement of fitting size, which the connection keeps prepared. `OR ROLLBACK` and `OR REPLACE` spare SQLite the
    journal that it keeps for statements of many rows that may fail in the middle; with that they cost more than one
    row at a time.
    """

    def __init__(self, insert: str, columns: int) -> None:
        self._insert = insert
        self._columns = columns
        self._row = f"({','.join('?' * columns)})"
        self._sizes = [size for size in (HUGE_ROWS, LARGE_ROWS) if size * columns <= VALUES_MAX]
        self._statements: dict[int, str] = {}

    def run(self, connection: sqlite3.Connection, values: list[object]) -> None:
        """Inserts rows given as one flat list of their columns."""
        width = self._columns
        start, rows = 0, len(values) // width
        while rows:
            size = next((some for some in self._sizes if rows >= some), min(rows, SMALL_ROWS))
            connection.execute(self._statement(size), values[start : start + size * width])
            start += size * width
            rows -= size

    def _statement(self, size: int) -> str:
        statement = self._statements.get(size)
        if statement is None:
            statement = f"{self._insert} VALUES {','.join([self._row] * size)}"
            self._statements[size] = statement
        return statement
