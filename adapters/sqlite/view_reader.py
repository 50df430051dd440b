"""One snapshot of the views in a SQLite file."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import aiosqlite

from adapters.sqlite.builds import Tables
from adapters.sqlite.finding import statement
from adapters.sqlite.letters import LETTERS_BETWEEN, letters_of
from adapters.sqlite.readers import rows
from adapters.sqlite.view_schema import CHECKPOINT, Table
from bus.core.errors import Unusable
from bus.core.finding import Place, Where, steps
from bus.core.letters import DeadLetter
from bus.core.stored import Checkpoint, ViewTable, dropped, other_indexes, text_fault

_NO_TABLE = "no such table"
"""How SQLite begins to say that there is none; the code that it gives is that of all errors in statements."""


class SqliteViewReader:
    """All tables as they were when the transaction of this connection began."""

    def __init__(self, connection: aiosqlite.Connection, tables: Tables, url: str) -> None:
        self._connection = connection
        self._tables = tables
        self._url = url

    async def checkpoint(self, table: ViewTable) -> Checkpoint:
        found = await self._rows(table, CHECKPOINT, (self._table(table).key,))
        if not found:
            raise dropped(table, self._url)
        return Checkpoint(*found[0])

    async def letters(self, table: ViewTable, first: int, last: int) -> Sequence[DeadLetter]:
        return letters_of(table, await self._rows(table, LETTERS_BETWEEN, (self._table(table).key, first, last)))

    async def get(self, table: ViewTable, key: str) -> bytes | None:
        if text_fault(key) is not None:
            return None
        found = await self._rows(table, self._table(table).select(1), (key,))
        return found[0][1] if found else None

    async def find(
        self,
        table: ViewTable,
        where: Where,
        order_by: str | None,
        descending: bool,
        limit: int,
        *,
        after: Place | None = None,
    ) -> Sequence[tuple[str, bytes]]:
        held = self._table(table)
        found: list[tuple[str, bytes]] = []
        for step in steps(where, order_by, descending, after):
            query, values = statement(held, step, descending)
            found += await self._rows(table, query, (*values, limit - len(found)))
            if len(found) >= limit:
                break
        return found

    async def _rows(self, table: ViewTable, query: str, parameters: Sequence[object]) -> list[Any]:
        try:
            return await rows(self._connection, query, parameters)
        except sqlite3.OperationalError as error:
            # Dropped after it was looked up, and before the snapshot was taken.
            raise gone(error, table, self._url) or error from error

    def _table(self, table: ViewTable) -> Table:
        return indexed(self._tables, table, self._url)


def indexed(tables: Tables, table: ViewTable, url: str) -> Table:
    """The table, where it is indexed as the caller takes it to be."""
    held = tables.get(table.place)
    if held is None:
        raise dropped(table, url)
    if held.indexes != table.indexes:
        raise other_indexes(table, held.indexes, url)
    return held


def gone(error: Exception, table: ViewTable, url: str) -> Unusable | None:
    """The error, where the table that a statement names is not there any more."""
    return dropped(table, url) if str(error).startswith(_NO_TABLE) else None
