"""Reindexing in PostgreSQL: views move to a table with other indexes, all of them in one transaction.

The new table has another key, and with it another name and another procedure. So a process that knows the old one
neither reads nor writes the new one by mistake: what it calls is not there any more.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from adapters.postgres.connections import Connection
from adapters.postgres.errors import DRIVER_ERRORS, is_data_error, told
from adapters.postgres.index_values import sortable
from adapters.postgres.schema import MIGRATION_LOCK
from adapters.postgres.urls import Target
from adapters.postgres.view_tables import COMMIT_FORM, NEXT_KEY, Table
from bus.core.projection import IndexValue
from bus.core.stored import StoredView, ViewTable, as_texts, dropped, from_texts, not_indexable, view_fault

ValuesOf = Callable[[bytes], tuple[IndexValue, ...]]

_HELD = """
SELECT projection_key, indexes FROM {schema}.projections WHERE projection = $1 AND version = $2 AND build = $3
FOR UPDATE
"""
"""Who commits views needs this row: who is in the middle of it is waited for, and who comes later finds it changed."""

_MOVE = f"""
UPDATE {{schema}}.projections
SET projection_key = $2, indexes = $3, procedure_form = {COMMIT_FORM}, owner = '', lapses_at = '-infinity'
WHERE projection_key = $1
"""
"""Who held the lease cannot project any more, and need not be waited for."""

_MOVE_LETTERS = "UPDATE {schema}.letters SET projection_key = $2 WHERE projection_key = $1"
_MOVE_STANDING = "UPDATE {schema}.standings SET projection_key = $2 WHERE projection_key = $1"


class Reindexing:
    """The move of one table on one connection. Each statement has `timeout_s`; all together take what they take."""

    def __init__(self, connection: Connection, target: Target, timeout_s: float) -> None:
        self._connection = connection
        self._target = target
        self._timeout_s = timeout_s

    async def run(self, table: ViewTable, values_of: ValuesOf, views_max: int) -> None:
        """Does nothing where somebody else was quicker; raises the driver's errors."""
        async with self._connection.transaction(isolation="read_committed"):
            await self._execute(MIGRATION_LOCK, self._target.schema)
            rows = await self._fetch(_HELD, *table.place)
            if not rows:
                raise dropped(table, self._target.url)
            held = Table(rows[0][0], from_texts(rows[0][1]))
            if held.indexes == table.indexes:
                return
            made = Table((await self._fetch(NEXT_KEY))[0][0], table.indexes)
            await self._execute(made.create())
            # Not by a cursor, which some poolers do not like: the table stays as it is, and the key is its order.
            after: str | None = None
            while page := await self._fetch(held.page(after), *([] if after is None else [after]), views_max):
                await self._fill(made, table, [StoredView(key, payload, values_of(payload)) for key, payload in page])
                after = page[-1][0]
            # The planner would guess otherwise, until the server comes to count by itself.
            await self._execute(made.analyze())
            await self._execute(held.drop())
            await self._execute(_MOVE, held.key, made.key, as_texts(table.indexes))
            await self._execute(_MOVE_LETTERS, held.key, made.key)
            await self._execute(_MOVE_STANDING, held.key, made.key)

    async def _fill(self, made: Table, table: ViewTable, views: list[StoredView]) -> None:
        for view in views:
            if (fault := view_fault(view)) is not None:
                raise not_indexable(table, view.key, f"it is {fault}", self._target.url)
        columns = [[sortable(view.index_values[place]) for view in views] for place in range(len(made.fields))]
        try:
            await self._execute(made.fill(), [view.key for view in views], [view.payload for view in views], *columns)
        except DRIVER_ERRORS as error:
            if not is_data_error(error):
                raise
            why = f"it or one of the {len(views)} views from there: {told(error)}"
            raise not_indexable(table, views[0].key, why, self._target.url) from error

    async def _execute(self, statement: str, *parameters: object) -> None:
        async with asyncio.timeout(self._timeout_s):
            await self._connection.execute(self._sql(statement), *parameters)

    async def _fetch(self, query: str, *parameters: object) -> list[Any]:
        async with asyncio.timeout(self._timeout_s):
            return await self._connection.fetch(self._sql(query), *parameters)

    def _sql(self, query: str) -> str:
        return query.replace("{schema}", self._target.quoted_schema)
