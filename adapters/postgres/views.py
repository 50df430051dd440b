"""The view store in PostgreSQL."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from hashlib import sha256
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from adapters.postgres.builds import (
    BUILDS,
    INDEXES,
    IS_THERE,
    TELL,
    Builds,
    build_of,
    checkpoints_of,
    create,
    create_in,
    forms_of,
    tables_of,
)
from adapters.postgres.connections import Connection, Connections
from adapters.postgres.desk import Desk
from adapters.postgres.errors import DRIVER_ERRORS, InDoubt, is_certain, is_data_error, told, unavailable
from adapters.postgres.index_values import sortable
from adapters.postgres.news import News
from adapters.postgres.reindexing import Reindexing
from adapters.postgres.schema import Layout, open_schema
from adapters.postgres.urls import target_of
from adapters.postgres.view_reader import PostgresViewReader, Tables, indexed, is_gone
from adapters.postgres.view_tables import (
    CLAIM,
    CLAIMS,
    COMMIT_FORM,
    RELEASE,
    Table,
    conditions_of,
)
from adapters.postgres.writing import Writing
from bus.core.builds import ANSWERING, BUILDING, Build, Standing, State
from bus.core.errors import StoreInUse, StoreUnavailable, Unusable
from bus.core.projection import IndexValue
from bus.core.stored import (
    Checkpoint,
    Claim,
    ViewChanges,
    ViewTable,
    dropped,
    from_texts,
    indexed_elsewhere,
    text_fault,
    views_fault,
)
from bus.core.transactions import Work

LAYOUT: Final = Layout(
    noun="view store",
    table="view_store",
    probe="UPDATE {schema}.projections SET position = position WHERE false",
    folder="views",
)

_DESK: Final = dataclasses.replace(LAYOUT, readable_from=4)
"""Builds came with the fourth."""

_BEGIN_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1"
"""A transaction sees what is committed at its first statement, so that comes at once."""


class PostgresViewStore(Desk):
    """Views in one schema of a database, which may be that of the events.

    `postgresql://user:password@host:5432/database?schema=name`; the schema is created where it is missing, unless with
    `read_only=True`, which is for a look beside whoever projects and never writes. `timeout_s`
    bounds the wait for a connection and for each statement, `readers_max` the snapshots that are read at the same
    time, `writers_max` the projectors that read and commit at the same time (one more listens). `notify_interval_s` is
    the shortest time between two messages to other processes. `?pooled=yes` and `listen_url` as in the event store.
    """

    shared = True

    def __init__(
        self,
        url: str,
        *,
        read_only: bool = False,
        timeout_s: float = 30.0,
        readers_max: int = 4,
        writers_max: int = 4,
        listen_url: str | None = None,
        notify_interval_s: float = 0.05,
    ) -> None:
        self._read_only = read_only
        self._listen_url = listen_url
        self._notify_interval_s = notify_interval_s
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
            layout = _DESK if self._read_only else LAYOUT
            connection = await open_schema(self._target, layout, read_only=self._read_only, timeout_s=self._timeout_s)
        except BaseException:
            self._is_used = False
            raise
        self._readers = Connections(self._target, self._readers_max, connect_timeout_s=self._timeout_s)
        self._writers = Connections(self._target, self._writers_max, connect_timeout_s=self._timeout_s)
        self._writers.add(connection)
        self._builds = Builds(self._writers, self._target, self._timeout_s)
        self._looking = asyncio.Lock()
        self._batches = Connections(self._target, self._writers_max, connect_timeout_s=self._timeout_s)
        self._writing = Writing(self._batches, self._target, self._timeout_s)
        self._changes = 0
        self._news = News(
            target_of(self._listen_url) if self._listen_url else self._target,
            # A channel belongs to a database; its name may have as many characters as that of a schema.
            f"doubledecker.{sha256(self._target.schema.encode()).hexdigest()[:32]}",
            interval_s=self._notify_interval_s,
            timeout_s=self._timeout_s,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        writers, self._writers = self._opened(), None
        self._is_used = False
        self._tables = {}
        await self._readers.close()
        await self._batches.close()
        await writers.close()

    async def prepare(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        return await self._make(tables, ANSWERING, None)

    async def known(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        return await self._make(tables, None, None)

    async def build(self, table: ViewTable, since: datetime) -> None:
        await self._make([table], BUILDING, since)

    async def _make(
        self, wanted: Sequence[ViewTable], state: State | None, since: datetime | None
    ) -> Mapping[ViewTable, Checkpoint]:
        """The checkpoints of these tables; those that are not there are made, or without a state left out."""
        async with self._for_writing().lease() as connection:
            try:
                async with asyncio.timeout(self._timeout_s):
                    rows = await self._look(connection)
                    forms = forms_of(rows)
                    held = [table for table in wanted if state is not None or table.place in forms]
                    if any(forms.get(table.place) != COMMIT_FORM for table in held):
                        await create(connection, self._target, wanted, state, since)
                        rows = await self._look(connection)
            except DRIVER_ERRORS as error:
                raise unavailable(error, self.url) from error
        found = checkpoints_of(rows, wanted)
        for table in wanted:
            if state is not None and table not in found:
                # By somebody else, between the making and the look.
                raise dropped(table, self.url)
        return found

    async def _look(self, connection: Connection) -> list[Any]:
        """The rows of all tables that there are, which this store knows from now on.

        One after the other, so that who has looked later knows more.
        """
        async with self._looking:
            rows = await connection.fetch(self._sql(BUILDS))
            # Another dictionary, since who reads by the old one has a snapshot in which the new tables are empty.
            self._tables = tables_of(rows)
        return rows

    async def switch(self, table: ViewTable, epoch: int, over: ViewTable, since: datetime) -> bool:
        self._opened()
        done = await self._builds.switch(table, epoch, over, since)
        self._changed()
        return done

    async def drop(self, table: ViewTable) -> bool:
        self._opened()
        done = await self._builds.drop(table)
        if done:
            self._tables = {place: held for place, held in self._tables.items() if place != table.place}
            self._changed()
        return done

    async def tell(self, table: ViewTable, standing: Standing) -> None:
        await self._fetch(TELL, *table.place, msgspec.json.encode(standing).decode())

    async def builds(self) -> Sequence[Build]:
        return [build_of(row) for row in await self._look_anew()]

    async def _look_anew(self) -> list[Any]:
        async with self._opened().lease() as connection:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._look(connection)
            except DRIVER_ERRORS as error:
                raise unavailable(error, self.url) from error

    async def claim(self, tables: Sequence[ViewTable], owner: str, lease_s: float) -> Mapping[ViewTable, Claim]:
        self._for_writing()
        by_key = {self._tables[table.place].key: table for table in tables if self._is_as_named(table)}
        await self._fetch(CLAIM, list(by_key), owner, lease_s)
        rows = await self._fetch(CLAIMS, list(by_key))
        found = {by_key[row[0]]: Claim(row[1], row[2], Checkpoint(*row[3:])) for row in rows}
        if elsewhere := [table for table in tables if table not in found]:
            # Indexed anew by another release, which alone can project them now, or dropped.
            there = checkpoints_of(await self._look_anew(), elsewhere)
            found |= {table: Claim("", 0, checkpoint) for table, checkpoint in there.items()}
        return found

    async def release(self, tables: Sequence[ViewTable], owner: str) -> None:
        self._for_writing()
        self._opened()
        await self._fetch(
            RELEASE, [self._tables[table.place].key for table in tables if self._is_as_named(table)], owner
        )
        self._changed()

    async def follow(self, heard: Callable[[int], None]) -> None:
        """See the port `Waking`: by LISTEN, which a pooler takes away."""
        self._opened()
        if self._listen_url is not None or not self._target.pooled:
            await self._news.follow(heard, "SELECT 0")

    def _changed(self) -> None:
        self._changes += 1
        self._news.tell(self._changes)

    async def reindex(
        self, table: ViewTable, values_of: Callable[[bytes], tuple[IndexValue, ...]], views_max: int
    ) -> None:
        if self._is_as_named(table):
            return
        async with self._for_writing().lease() as connection:
            try:
                await Reindexing(connection, self._target, self._timeout_s).run(table, values_of, views_max)
                await self._look(connection)
            except DRIVER_ERRORS as error:
                raise unavailable(error, self.url) from error

    async def load(self, table: ViewTable, keys: Sequence[str]) -> Mapping[str, bytes]:
        wanted = [key for key in dict.fromkeys(keys) if text_fault(key) is None]
        async with self._opened().lease() as connection:
            try:
                async with asyncio.timeout(self._timeout_s):
                    rows = await connection.fetch(self._sql(self._table(table).load()), wanted)
            except DRIVER_ERRORS as error:
                if is_gone(error):
                    raise await self._lost(table, connection) from error
                raise unavailable(error, self.url) from error
        return {row[0]: row[1] for row in rows}

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        if (fault := views_fault(changes.put)) is not None:
            raise ValueError(f"a view of {table.projection!r} cannot be kept, key or index is {fault}")
        held, put = self._table(table), changes.put
        removed = [key for key in changes.removed if text_fault(key) is None]
        rows = ([view.key for view in put], [view.payload for view in put])
        columns = [[sortable(view.index_values[place]) for view in put] for place in range(len(held.fields))]
        async with self._for_writing().lease() as connection:
            try:
                async with asyncio.timeout(self._timeout_s):
                    arguments = (*conditions_of(changes), removed, *rows, *columns)
                    done: bool = await connection.fetchval(self._sql(held.commit()), *arguments)
                    is_there = done or await connection.fetchval(self._sql(IS_THERE), held.key)
            except DRIVER_ERRORS as error:
                if is_data_error(error):
                    raise ValueError(f"{self.url} cannot hold a view: {told(error)}") from error
                if is_certain(error):
                    if is_gone(error):
                        raise await self._lost(table, connection) from error
                    raise unavailable(error, self.url) from error
                raise InDoubt(f"{self.url}: it is not certain whether views were committed ({told(error)})") from error
            if not is_there:
                raise await self._lost(table, connection)
        if done:
            self._changed()
        return done

    async def set_up(self, table: ViewTable, work: Work, timeout_s: float) -> None:
        self._for_writing()

        async def make(connection: Connection) -> bool:
            return await create_in(connection, self._target, [table], ANSWERING, None)

        await self._writing.run(make, work, timeout_s)

    async def write(self, table: ViewTable, changes: ViewChanges, work: Work, timeout_s: float) -> bool:
        self._for_writing()
        done = await self._writing.write(table, self._table(table).key, changes, work, timeout_s)
        if done:
            self._changed()
        return done

    async def _lost(self, table: ViewTable, connection: Connection | None = None) -> Unusable:
        """For who does not find a table where it was: what has become of it."""
        if connection is None:
            async with self._opened().lease() as another:
                return await self._lost(table, another)
        try:
            async with asyncio.timeout(self._timeout_s):
                texts = await connection.fetchval(self._sql(INDEXES), *table.place)
        except DRIVER_ERRORS as error:
            raise unavailable(error, self.url) from error
        if texts is None or from_texts(texts) == table.indexes:
            # If it is there, then it was made anew.
            return dropped(table, self.url)
        return indexed_elsewhere(table, self.url)

    async def _fetch(self, query: str, *parameters: object) -> list[Any]:
        """One statement, a transaction of its own."""
        async with self._opened().lease() as connection:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await connection.fetch(self._sql(query), *parameters)
            except DRIVER_ERRORS as error:
                raise unavailable(error, self.url) from error

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator["PostgresViewReader"]:
        self._opened()
        failure: Exception | None = None
        async with self._readers.lease() as connection:
            reader = PostgresViewReader(
                connection, self._target, self._tables, timeout_s=self._timeout_s, lost=self._lost
            )
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

    def _for_writing(self) -> Connections:
        if self._read_only:
            raise StoreUnavailable(f"{self.url} was opened read-only: nothing can be written", store=self.url)
        return self._opened()

    def _check_writable(self) -> None:
        self._for_writing()

    def _table(self, table: ViewTable) -> Table:
        return indexed(self._tables, table, self.url)

    def _is_as_named(self, table: ViewTable) -> bool:
        """Whether it is there, and indexed like that, as far as this store knows."""
        held = self._tables.get(table.place)
        return held is not None and held.indexes == table.indexes

    def _sql(self, query: str) -> str:
        return query.replace("{schema}", self._target.quoted_schema)
