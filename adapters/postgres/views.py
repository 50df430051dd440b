"""The view store in PostgreSQL."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self

from adapters.postgres.connections import Connection, Connections
from adapters.postgres.errors import DRIVER_ERRORS, InDoubt, is_certain, is_data_error, sqlstate, told, unavailable
from adapters.postgres.finding import statement
from adapters.postgres.index_values import sortable
from adapters.postgres.reindexing import Reindexing
from adapters.postgres.schema import MIGRATION_LOCK, Layout, open_schema
from adapters.postgres.urls import Target, target_of
from adapters.postgres.view_tables import CHECKPOINT, CREATE_PROJECTION, NEXT_KEY, PROJECTIONS, Table, checkpoints_of
from bus.core.errors import StoreInUse, StoreUnavailable, Unusable
from bus.core.finding import Place, Where, steps
from bus.core.projection import IndexValue
from bus.core.stored import (
    Checkpoint,
    ViewChanges,
    ViewTable,
    as_texts,
    from_texts,
    indexed_elsewhere,
    other_indexes,
    text_fault,
    view_fault,
)

LAYOUT: Final = Layout(
    noun="view store",
    table="view_store",
    probe="UPDATE {schema}.projections SET position = position WHERE false",
    folder="views",
)

_BEGIN_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1"
"""A transaction sees what is committed at its first statement, so that comes at once."""

_GONE = ("42883", "42P01", "42703")
"""SQLSTATEs of a procedure, a table or a column that is not there."""

_GONE_MEANWHILE = "cache lookup failed"
"""How a procedure ends that was dropped while it waited, in words that the server translates into no language."""

Tables = dict[tuple[str, int], Table]
"""By projection and version."""


class PostgresViewStore:
    """Views in one schema of a database, which may be that of the events.

    `postgresql://user:password@host:5432/database?schema=name`; the schema is created where it is missing. `timeout_s`
    bounds the wait for a connection and for each statement, `readers_max` the snapshots that are read at the same
    time, `writers_max` the projectors that read and commit at the same time.
    """

    def __init__(self, url: str, *, timeout_s: float = 30.0, readers_max: int = 4, writers_max: int = 4) -> None:
        self._target = target_of(url)
        self._timeout_s = timeout_s
        self._readers_max = readers_max
        self._writers_max = writers_max
        self._is_used = False
        self._writers: Connections | None = None
        self._tables: Tables = {}

    @property
    def url(self) -> str:
        return self._target.url

    async def __aenter__(self) -> Self:
        if self._is_used:
            raise StoreInUse(f"another bus uses this {type(self).__name__}: make another one", store=self.url)
        self._is_used = True
        try:
            connection = await open_schema(self._target, LAYOUT, read_only=False, timeout_s=self._timeout_s)
        except BaseException:
            self._is_used = False
            raise
        self._readers = Connections(self._target, self._readers_max, connect_timeout_s=self._timeout_s)
        self._writers = Connections(self._target, self._writers_max, connect_timeout_s=self._timeout_s)
        self._writers.add(connection)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        writers, self._writers = self._opened(), None
        self._is_used = False
        self._tables = {}
        await self._readers.close()
        await writers.close()

    async def prepare(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        async with self._opened().lease() as connection:
            try:
                async with asyncio.timeout(self._timeout_s):
                    found = await self._find(connection, tables)
                    if len(found) < len(set(tables)):
                        await self._create(connection, tables)
                        found = await self._find(connection, tables)
            except DRIVER_ERRORS as error:
                raise unavailable(error, self.url) from error
        return found

    async def _find(self, connection: Connection, wanted: Sequence[ViewTable]) -> dict[ViewTable, Checkpoint]:
        """The checkpoints of those that exist."""
        found: dict[ViewTable, Checkpoint] = {}
        # Another dictionary, since who reads by the old one has a snapshot in which the new tables are empty.
        tables = dict(self._tables)
        named = {(table.projection, table.version): table for table in wanted}
        for key, projection, version, indexes, *checkpoint in await connection.fetch(self._sql(PROJECTIONS)):
            tables[projection, version] = Table(key, from_texts(indexes))
            table = named.get((projection, version))
            if table is not None:
                found[table] = Checkpoint(*checkpoint)
        self._tables = tables
        return found

    async def _create(self, connection: Connection, wanted: Sequence[ViewTable]) -> None:
        async with connection.transaction(isolation="read_committed"):
            # Whoever comes second finds the work done.
            await connection.execute(MIGRATION_LOCK, self._target.schema)
            found = await self._find(connection, wanted)
            for table in dict.fromkeys(wanted):
                if table not in found:
                    made = Table(await connection.fetchval(self._sql(NEXT_KEY)), table.indexes)
                    await connection.execute(self._sql(made.create()))
                    row = (made.key, table.projection, table.version, as_texts(table.indexes))
                    await connection.execute(self._sql(CREATE_PROJECTION), *row)

    async def reindex(
        self, table: ViewTable, values_of: Callable[[bytes], tuple[IndexValue, ...]], views_max: int
    ) -> None:
        if self._tables[table.projection, table.version].indexes == table.indexes:
            return
        async with self._opened().lease() as connection:
            try:
                await Reindexing(connection, self._target, self._timeout_s).run(table, values_of, views_max)
                await self._find(connection, [table])
            except DRIVER_ERRORS as error:
                raise unavailable(error, self.url) from error

    async def load(self, table: ViewTable, keys: Sequence[str]) -> Mapping[str, bytes]:
        wanted = [key for key in dict.fromkeys(keys) if text_fault(key) is None]
        async with self._opened().lease() as connection:
            try:
                async with asyncio.timeout(self._timeout_s):
                    rows = await connection.fetch(self._sql(self._table(table).load()), wanted)
            except DRIVER_ERRORS as error:
                raise _gone(error, table, self.url) or unavailable(error, self.url) from error
        return {row[0]: row[1] for row in rows}

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        for view in changes.put:
            if (fault := view_fault(view)) is not None:
                raise ValueError(f"a view of {table.projection!r} cannot be kept, key or index is {fault}")
        held, put = self._table(table), changes.put
        removed = [key for key in changes.removed if text_fault(key) is None]
        rows = ([view.key for view in put], [view.payload for view in put])
        columns = [[sortable(view.index_values[place]) for view in put] for place in range(len(held.fields))]
        async with self._opened().lease() as connection:
            try:
                async with asyncio.timeout(self._timeout_s):
                    arguments = (*checkpoints_of(changes), removed, *rows, *columns)
                    done: bool = await connection.fetchval(self._sql(held.commit()), *arguments)
                    return done
            except DRIVER_ERRORS as error:
                if is_data_error(error):
                    raise ValueError(f"{self.url} cannot hold a view: {told(error)}") from error
                if is_certain(error):
                    raise _gone(error, table, self.url) or unavailable(error, self.url) from error
                raise InDoubt(f"{self.url}: it is not certain whether views were committed ({told(error)})") from error

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator["PostgresViewReader"]:
        self._opened()
        failure: Exception | None = None
        async with self._readers.lease() as connection:
            reader = PostgresViewReader(connection, self._target, self._tables, self._timeout_s)
            await reader.run(_BEGIN_SNAPSHOT)
            try:
                yield reader
            except Exception as error:
                # The handler's own affair, after which the connection is as good as before; if not, its end tells.
                failure = error
            try:
                await reader.run("ROLLBACK")
            except StoreUnavailable:
                # What was read is no worse for it.
                connection.terminate()
        if failure is not None:
            raise failure

    def _opened(self) -> Connections:
        if self._writers is None:
            raise StoreUnavailable(f"{self.url} is not open: use it inside `async with`", store=self.url)
        return self._writers

    def _table(self, table: ViewTable) -> Table:
        return _indexed(self._tables, table, self.url)

    def _sql(self, query: str) -> str:
        return query.replace("{schema}", self._target.quoted_schema)


class PostgresViewReader:
    """All tables as they were when the transaction of this connection began."""

    def __init__(self, connection: Connection, target: Target, tables: Tables, timeout_s: float) -> None:
        self._connection = connection
        self._target = target
        self._tables = tables
        self._timeout_s = timeout_s

    async def checkpoint(self, table: ViewTable) -> Checkpoint:
        found = await self._fetch(table, CHECKPOINT, self._table(table).key)
        if not found:
            raise indexed_elsewhere(table, self._target.url)
        return Checkpoint(*found[0])

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
            raise _gone(error, table, self._target.url) or unavailable(error, self._target.url) from error

    def _table(self, table: ViewTable) -> Table:
        return _indexed(self._tables, table, self._target.url)


def _indexed(tables: Tables, table: ViewTable, url: str) -> Table:
    """The table, where it is indexed as the caller takes it to be."""
    held = tables[table.projection, table.version]
    if held.indexes != table.indexes:
        raise other_indexes(table, held.indexes, url)
    return held


def _gone(error: BaseException, table: ViewTable, url: str) -> Unusable | None:
    """The error, where what a statement names is not there any more."""
    is_gone = sqlstate(error) in _GONE or (sqlstate(error) == "XX000" and _GONE_MEANWHILE in str(error))
    return indexed_elsewhere(table, url) if is_gone else None
