"""Reading views in PostgreSQL: one snapshot of all tables, and what it means when a table is not there any more."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from adapters.postgres.connections import Connection
from adapters.postgres.errors import DRIVER_ERRORS, sqlstate, unavailable
from adapters.postgres.finding import statement
from adapters.postgres.letters import LETTERS_BETWEEN, letters_of
from adapters.postgres.urls import Target
from adapters.postgres.view_tables import CHECKPOINT, Table
from bus.core.errors import Unusable
from bus.core.finding import Place, Where, steps
from bus.core.letters import DeadLetter
from bus.core.stored import Checkpoint, ViewTable, dropped, other_indexes, text_fault

_GONE = ("42883", "42P01", "42703")
"""SQLSTATEs of a procedure, a table or a column that is not there."""

_GONE_MEANWHILE = "cache lookup failed"
"""How a procedure ends that was dropped while it waited, in words that the server translates into no language."""

Tables = dict[tuple[str, int, int], Table]
"""By projection, version and build."""

Lost = Callable[[ViewTable], Awaitable[Unusable]]
"""Looks, past the reader's snapshot, what has become of a table that is not where it was."""


class PostgresViewReader:
    """All tables as they were when the transaction of this connection began."""

    def __init__(self, connection: Connection, target: Target, tables: Tables, *, timeout_s: float, lost: Lost) -> None:
        self._connection = connection
        self._lost = lost
        self._target = target
        self._tables = tables
        self._timeout_s = timeout_s

    async def checkpoint(self, table: ViewTable) -> Checkpoint:
        found = await self._fetch(table, CHECKPOINT, self._table(table).key)
        if not found:
            raise await self._lost(table)
        return Checkpoint(*found[0])

    async def letters(self, table: ViewTable, first: int, last: int) -> Sequence[DeadLetter]:
        return letters_of(table, await self._fetch(table, LETTERS_BETWEEN, self._table(table).key, first, last))

    async def get(self, table: ViewTable, key: str) -> bytes | None:
        if text_fault(key) is not None:
            return None
        found = await self._fetch(table, self._table(table).get(), key)
        return found[0][0] if found else None

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
            query, values = statement(held, step, descending, limit - len(found))
            found += [(key, payload) for key, payload in await self._fetch(table, query, *values)]
            if len(found) >= limit:
                break
        return found

    async def run(self, statements: str) -> None:
        """Statements without a result."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._connection.execute(statements)
        except DRIVER_ERRORS as error:
            raise unavailable(error, self._target.url) from error

    async def _fetch(self, table: ViewTable, query: str, *parameters: object) -> list[Any]:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._connection.fetch(query.replace("{schema}", self._target.quoted_schema), *parameters)
        except DRIVER_ERRORS as error:
            if is_gone(error):
                raise await self._lost(table) from error
            raise unavailable(error, self._target.url) from error

    def _table(self, table: ViewTable) -> Table:
        return indexed(self._tables, table, self._target.url)


def indexed(tables: Tables, table: ViewTable, url: str) -> Table:
    """The table, where it is indexed as the caller takes it to be."""
    held = tables.get(table.place)
    if held is None:
        raise dropped(table, url)
    if held.indexes != table.indexes:
        raise other_indexes(table, held.indexes, url)
    return held


def is_gone(error: BaseException) -> bool:
    """Whether what a statement names is not there any more."""
    return sqlstate(error) in _GONE or (sqlstate(error) == "XX000" and _GONE_MEANWHILE in str(error))
