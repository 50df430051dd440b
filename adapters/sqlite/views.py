"""The view store in a SQLite file."""

import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import aiosqlite

from adapters.sqlite import builds
from adapters.sqlite.builds import Tables
from adapters.sqlite.database import Database, Synchronous, check_level, open_for_writing, reading_uri
from adapters.sqlite.errors import DATA_ERRORS, DRIVER_ERRORS, unavailable
from adapters.sqlite.finding import statement
from adapters.sqlite.letters import (
    LETTERS_BETWEEN,
    LetterGone,
    answer_request,
    change_letters,
    find_letters,
    find_request,
    find_requests,
    in_transaction,
    keep_request,
    letters_of,
    parked_keys,
)
from adapters.sqlite.log import Log
from adapters.sqlite.paths import real_path, url_of
from adapters.sqlite.readers import Readers, rows
from adapters.sqlite.reindexing import reindex
from adapters.sqlite.thread import OwnerThread
from adapters.sqlite.transaction import transaction
from adapters.sqlite.view_schema import (
    CHECKPOINT,
    LAYOUT,
    MOVE_CHECKPOINT,
    Table,
    checkpoint_columns,
)
from bus.core.builds import ANSWERING, BUILDING, Build, Standing
from bus.core.errors import StoreInUse, StoreUnavailable, Unusable
from bus.core.finding import Place, Where, steps
from bus.core.letters import DeadLetter, Request
from bus.core.projection import IndexValue
from bus.core.stored import (
    Checkpoint,
    Claim,
    ViewChanges,
    ViewTable,
    dropped,
    other_indexes,
    text_fault,
    view_fault,
)

T = TypeVar("T")

_KEYS_MAX = 4_096
"""Keys in one statement; SQLite allows 32,766."""

_BEGIN_SNAPSHOT = "BEGIN; SELECT 1 FROM projections LIMIT 1"
"""A transaction sees what is committed at its first read, so that comes at once."""

_NO_TABLE = "no such table"
"""How SQLite begins to say that there is none; the code that it gives is that of all errors in statements."""


class SqliteViewStore:
    """Views in one file, written by one bus at a time.

    NORMAL does not wait for the disk at each commit: after a power failure the last rows are lost together with their
    checkpoint, and projected again. `busy_timeout_s` bounds the wait for other programs that lock the file,
    `readers_max` the connections (each with a thread) that read at the same time.
    """

    shared = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: Synchronous = "NORMAL",
        busy_timeout_s: float = 5.0,
        readers_max: int = 4,
    ) -> None:
        self._path = real_path(path)
        self._url = url_of(path)
        self._synchronous: Synchronous = check_level(synchronous)
        self._busy_timeout_s = busy_timeout_s
        self._readers_max = readers_max
        self._thread: OwnerThread[Database] | None = None
        self._tables: Tables = {}

    @property
    def url(self) -> str:
        return self._url

    async def __aenter__(self) -> Self:
        if self._thread is not None:
            raise StoreInUse(f"{self._url} is in use by another bus: close that one", store=self._url)
        thread = self._thread = OwnerThread[Database]("doubledecker-views", self._url)
        try:
            database = await thread.start(
                partial(open_for_writing, self._path, LAYOUT, self._url, self._synchronous, self._busy_timeout_s)
            )
        except BaseException:
            self._thread = None
            raise
        self._connection = database.connection
        self._log = Log(database.connection, self._path)
        self._readers = Readers(reading_uri(self._path), self._url, self._readers_max)
        # What a process that ended has left of tables that were dropped; it is in nobody's way for now.
        with suppress(StoreUnavailable):
            await self._clear()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        thread, self._thread = self._opened(), None
        self._tables = {}
        try:
            await self._readers.close()
        finally:
            await thread.stop()

    async def prepare(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        return await self._change(_prepare, tables)

    async def known(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        return await self._change(_checkpoints, tables)

    async def build(self, table: ViewTable, since: datetime) -> None:
        await self._change(_build, table, since)

    async def switch(self, table: ViewTable, epoch: int, over: ViewTable, since: datetime) -> bool:
        return await self._run(builds.switch, table, over, since)

    async def drop(self, table: ViewTable) -> bool:
        is_gone = await self._change(builds.drop, table)
        # Whoever gives up here leaves the rest to the next opening.
        await self._clear()
        return is_gone

    async def _clear(self) -> None:
        """Removes what was dropped, in many transactions; who wants something meanwhile has its turn in between."""
        while await self._run(builds.clear_some):
            pass

    async def tell(self, table: ViewTable, standing: Standing) -> None:
        await self._run(builds.tell, table, standing)

    async def builds(self) -> Sequence[Build]:
        return await self._run(builds.find_builds)

    async def claim(self, tables: Sequence[ViewTable], owner: str, lease_s: float) -> Mapping[ViewTable, Claim]:
        # The file is this store's alone.
        found = await self._run(_checkpoints, tables)
        return {table: Claim(owner, 0, checkpoint) for table, checkpoint in found.items()}

    async def release(self, tables: Sequence[ViewTable], owner: str) -> None:
        self._opened()

    async def reindex(
        self, table: ViewTable, values_of: Callable[[bytes], tuple[IndexValue, ...]], views_max: int
    ) -> None:
        held = self._tables.get(table.place)
        if held is None:
            raise dropped(table, self._url)
        if held.indexes != table.indexes:
            job = partial(reindex, self._connection, held, table, values_of, views_max=views_max, url=self._url)
            made = await self._opened().run(job)
            self._tables = {**self._tables, table.place: made}

    async def load(self, table: ViewTable, keys: Sequence[str]) -> Mapping[str, bytes]:
        # Not by the readers, all of which query handlers may hold while they wait for something else.
        job = partial(_load, self._connection, self._url, table, self._table(table), keys)
        return await self._opened().run(job)

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        for view in changes.put:
            if (fault := view_fault(view)) is not None:
                raise ValueError(f"a view of {table.projection!r} cannot be kept, key or index is {fault}")
        held = self._table(table)

        def job() -> bool:
            is_written = _commit(self._connection, self._url, table, held, changes)
            self._log.check()
            return is_written

        return await self._opened().run(job)

    async def parked(self, table: ViewTable) -> Mapping[str, int]:
        return await self._run(parked_keys, self._table(table).key)

    async def letters(
        self, table: ViewTable, key: str | None = None, *, after: tuple[int, str] = (0, ""), limit: int
    ) -> Sequence[DeadLetter]:
        return await self._run(find_letters, self._table(table).key, table, key, (*after, limit))

    async def ask(self, request: Request) -> None:
        await self._run(keep_request, request)

    async def requests(self, *, is_open: bool, limit: int) -> Sequence[Request]:
        return await self._run(find_requests, is_open, limit)

    async def asked(self, request_id: str) -> Request | None:
        return await self._run(find_request, request_id)

    async def answer(self, request: Request) -> None:
        await self._run(answer_request, request)

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        return await self._opened().run(partial(in_transaction, self._connection, self._url, work, *arguments))

    async def _change(self, work: Callable[..., T], tables: ViewTable | Sequence[ViewTable], *arguments: object) -> T:
        """Like `_run`, for what makes or drops tables."""
        known = {place: held.indexes for place, held in self._tables.items()}
        known |= {table.place: table.indexes for table in ([tables] if isinstance(tables, ViewTable) else tables)}

        def job() -> tuple[T, Tables]:
            with transaction(self._connection, self._url):
                result = work(self._connection, tables, *arguments)
                return result, builds.find_tables(self._connection, known)

        result, self._tables = await self._opened().run(job)
        return result

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator["SqliteViewReader"]:
        self._opened()
        async with self._readers.lease() as connection:
            # Looked at before: what is made meanwhile is not in the snapshot for certain.
            reader = SqliteViewReader(connection, self._tables, self._url)
            await connection.executescript(_BEGIN_SNAPSHOT)
            yield reader
            await connection.rollback()

    def _opened(self) -> OwnerThread[Database]:
        if self._thread is None:
            raise StoreUnavailable(f"{self._url} is not open: use it inside `async with`", store=self._url)
        return self._thread

    def _table(self, table: ViewTable) -> Table:
        return _indexed(self._tables, table, self._url)


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
            raise _gone(error, table, self._url) or error from error

    def _table(self, table: ViewTable) -> Table:
        return _indexed(self._tables, table, self._url)


def _indexed(tables: Tables, table: ViewTable, url: str) -> Table:
    """The table, where it is indexed as the caller takes it to be."""
    held = tables.get(table.place)
    if held is None:
        raise dropped(table, url)
    if held.indexes != table.indexes:
        raise other_indexes(table, held.indexes, url)
    return held


def _gone(error: Exception, table: ViewTable, url: str) -> Unusable | None:
    """The error, where the table that a statement names is not there any more."""
    return dropped(table, url) if str(error).startswith(_NO_TABLE) else None


def _prepare(connection: sqlite3.Connection, wanted: Sequence[ViewTable]) -> dict[ViewTable, Checkpoint]:
    for table in wanted:
        if builds.key_of(connection, table) is None:
            builds.make(connection, table, ANSWERING, None)
    return _checkpoints(connection, wanted)


def _build(connection: sqlite3.Connection, table: ViewTable, since: datetime) -> None:
    if builds.key_of(connection, table) is None:
        builds.make(connection, table, BUILDING, since)


def _checkpoints(connection: sqlite3.Connection, wanted: Sequence[ViewTable]) -> dict[ViewTable, Checkpoint]:
    """Those of the tables that are there."""
    keys = {table: builds.key_of(connection, table) for table in wanted}
    return {
        table: Checkpoint(*connection.execute(CHECKPOINT, (key,)).fetchone())
        for table, key in keys.items()
        if key is not None
    }


def _load(
    connection: sqlite3.Connection, url: str, table: ViewTable, held: Table, keys: Sequence[str]
) -> Mapping[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        for some in _padded([key for key in keys if text_fault(key) is None]):
            found.update(connection.execute(held.select(len(some)), some).fetchall())
    except DRIVER_ERRORS as error:
        raise _gone(error, table, url) or unavailable(error, url) from error
    return found


def _commit(connection: sqlite3.Connection, url: str, table: ViewTable, held: Table, changes: ViewChanges) -> bool:
    try:
        with transaction(connection, url):
            before, after = checkpoint_columns(changes.expected), checkpoint_columns(changes.checkpoint)
            if connection.execute(MOVE_CHECKPOINT, (*after, held.key, *before)).rowcount != 1:
                if connection.execute(CHECKPOINT, (held.key,)).fetchone() is None:
                    raise dropped(table, url)
                return False
            if changes.parked or changes.unparked:
                change_letters(connection, held.key, changes)
            for some in _padded(changes.removed):
                connection.execute(held.delete(len(some)), some)
            values: list[Any] = []
            for view in changes.put:
                values += (view.key, view.payload, *view.index_values)
            held.put.run(connection, values)
    except LetterGone:
        return False
    except (sqlite3.IntegrityError, *DATA_ERRORS) as error:
        raise ValueError(f"{url} cannot hold a view: {error}") from error
    return True


def _padded(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys in parts that have a power of two as size, so that few statements do; some keys come twice."""
    for start in range(0, len(keys), _KEYS_MAX):
        part = keys[start : start + _KEYS_MAX]
        size = 1 << (len(part) - 1).bit_length()
        yield [*part, *[part[-1]] * (size - len(part))]
