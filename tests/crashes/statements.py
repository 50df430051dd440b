"""Statements: a connection of which one statement fails, before it is carried out or after."""

import sqlite3
from typing import Any, cast

import msgspec

from adapters.sqlite import SqliteEventStore
from adapters.sqlite.database import Database


class Fault(msgspec.Struct, frozen=True):
    """What goes wrong at one statement."""

    at: int
    """The number of the statement, from 1."""
    code: int
    """As SQLite has it."""
    is_late: bool = False
    """The statement was carried out, and fails all the same."""


class FaultyConnection:
    """Stands in for the connection that writes; counts statements from the moment that it is given a fault."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.fault: Fault | None = None
        self.statements: list[str] = []
        """What was asked since then, by its first word."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return self._run("execute", sql, *parameters)

    def executemany(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return self._run("executemany", sql, *parameters)

    def _run(self, method: str, sql: str, *parameters: Any) -> sqlite3.Cursor:
        run = getattr(self._connection, method)
        fault = self.fault
        if fault is None:
            return cast(sqlite3.Cursor, run(sql, *parameters))
        self.statements.append(sql.split(maxsplit=1)[0])
        if len(self.statements) != fault.at:
            return cast(sqlite3.Cursor, run(sql, *parameters))
        if fault.is_late:
            run(sql, *parameters)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = fault.code
        raise error


class FaultyEventStore(SqliteEventStore):
    """A store whose writer has such a connection."""

    def _open(self) -> Database:
        database = super()._open()
        self.connection = FaultyConnection(database.connection)
        database.connection = cast(sqlite3.Connection, self.connection)
        return database
