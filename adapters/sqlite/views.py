"""The view store in a SQLite file."""

import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import aiosqlite
import msgspec

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
    find_tables,
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
from adapters.sqlite.turns import Turns
from adapters.sqlite.view_schema import (
    CHECKPOINT,
    CREATE_PROJECTION,
    LAYOUT,
    MOVE_CHECKPOINT,
    PROJECTIONS,
    Table,
    checkpoint_columns,
    named_table,
    next_key,
    table_of,
)
from adapters.sqlite.writing import Writing
from bus.core.errors import StoreInUse, StoreUnavailable
from bus.core.finding import Place, Where, steps
from bus.core.letters import DeadLetter, Request
from bus.core.projection import IndexValue
from bus.core.stored import (
    Checkpoint,
    Claim,
    ViewChanges,
    ViewTable,
    as_texts,
    from_texts,
    other_indexes,
    text_fault,
    view_fault,
)
from bus.core.transactions import Work

T = TypeVar("T")

_KEYS_MAX = 4_096
"""Keys in one statement; SQLite allows 32,766."""

_BEGIN_SNAPSHOT = "BEGIN; SELECT 1 FROM projections LIMIT 1"
"""A transaction sees what is committed at its first read, so that comes at once."""

Tables = dict[tuple[str, int], Table]
"""By projection and version."""


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
        self._thread: Turns[Database] | None = None
        self._tables: Tables = {}

    @property
    def url(self) -> str:
        return self._url

    async def __aenter__(self) -> Self:
        if self._thread is not None:
            raise StoreInUse(f"{self._url} is in use by another bus: close that one", store=self._url)
        thread = self._thread = Turns(OwnerThread[Database]("doubledecker-views", self._url))
        try:
            database = await thread.start(
                partial(open_for_writing, self._path, LAYOUT, self._url, self._synchronous, self._busy_timeout_s)
            )
        except BaseException:
            self._thread = None
            raise
        self._connection = database.connection
        self._log = Log(database.connection, self._path)
        self._writing = Writing(thread, database.connection, self._log, self._url)
        self._readers = Readers(reading_uri(self._path), self._url, self._readers_max)
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
        job = partial(_prepare, self._connection, self._url, tables)
        self._tables, checkpoints = await self._opened().run(job)
        return checkpoints

    async def claim(self, tables: Sequence[ViewTable], owner: str, lease_s: float) -> Mapping[ViewTable, Claim]:
        # The file is this store's alone.
        return {table: Claim(owner, 0, checkpoint) for table, checkpoint in (await self.prepare(tables)).items()}

    async def release(self, tables: Sequence[ViewTable], owner: str) -> None:
        self._opened()

    async def reindex(
        self, table: ViewTable, values_of: Callable[[bytes], tuple[IndexValue, ...]], views_max: int
    ) -> None:
        held = self._tables[table.projection, table.version]
        if held.indexes != table.indexes:
            job = partial(reindex, self._connection, held, table, values_of, views_max=views_max, url=self._url)
            made = await self._opened().run(job)
            self._tables = {**self._tables, (table.projection, table.version): made}

    async def load(self, table: ViewTable, keys: Sequence[str]) -> Mapping[str, bytes]:
        # Not by the readers, all of which query handlers may hold while they wait for something else.
        return await self._opened().run(partial(_load, self._connection, self._url, self._table(table), keys))

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        for view in changes.put:
            if (fault := view_fault(view)) is not None:
                raise ValueError(f"a view of {table.projection!r} cannot be kept, key or index is {fault}")
        job = partial(_commit, self._connection, self._log, self._url, self._table(table), changes)
        return await self._opened().run(job)

    async def set_up(self, table: ViewTable, work: Work, timeout_s: float) -> None:
        self._opened()
        await self._writing.run(partial(_is_new, self._connection, table), work)

    async def write(self, table: ViewTable, changes: ViewChanges, work: Work, timeout_s: float) -> bool:
        self._opened()
        return await self._writing.run(partial(_move, self._connection, self._table(table), changes), work)

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

    async def tables(self) -> Mapping[ViewTable, Checkpoint]:
        return await self._run(find_tables)

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        return await self._opened().run(partial(in_transaction, self._connection, self._url, work, *arguments))

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator["SqliteViewReader"]:
        self._opened()
        async with self._readers.lease() as connection:
            await connection.executescript(_BEGIN_SNAPSHOT)
            yield SqliteViewReader(connection, self._tables, self._url)
            await connection.rollback()

    def _opened(self) -> Turns[Database]:
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
        found = await rows(self._connection, CHECKPOINT, (self._table(table).key,))
        return Checkpoint(*found[0])

    async def letters(self, table: ViewTable, first: int, last: int) -> Sequence[DeadLetter]:
        return letters_of(table, await rows(self._connection, LETTERS_BETWEEN, (self._table(table).key, first, last)))

    async def get(self, table: ViewTable, key: str) -> bytes | None:
        if text_fault(key) is not None:
            return None
        found = await rows(self._connection, self._table(table).select(1), (key,))
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
            found += await rows(self._connection, query, (*values, limit - len(found)))
            if len(found) >= limit:
                break
        return found

    def _table(self, table: ViewTable) -> Table:
        return _indexed(self._tables, table, self._url)


def _indexed(tables: Tables, table: ViewTable, url: str) -> Table:
    """The table, where it is indexed as the caller takes it to be."""
    held = tables[table.projection, table.version]
    if held.indexes != table.indexes:
        raise other_indexes(table, held.indexes, url)
    return held


def _prepare(
    connection: sqlite3.Connection, url: str, wanted: Sequence[ViewTable]
) -> tuple[Tables, Mapping[ViewTable, Checkpoint]]:
    with transaction(connection, url):
        return _make(connection, wanted)


def _make(connection: sqlite3.Connection, wanted: Sequence[ViewTable]) -> tuple[Tables, Mapping[ViewTable, Checkpoint]]:
    checkpoints: dict[ViewTable, Checkpoint] = {}
    tables: Tables = {}
    for key, projection, version, name, indexes in connection.execute(PROJECTIONS).fetchall():
        tables[projection, version] = named_table(key, name, from_texts(msgspec.json.decode(indexes, type=list[str])))
    for table in wanted:
        held = tables.get((table.projection, table.version))
        if held is None:
            held = table_of(next_key(connection), table)
            for statement in held.create():
                connection.execute(statement)
            indexes = msgspec.json.encode(as_texts(table.indexes)).decode()
            row = (held.key, table.projection, table.version, held.name, indexes)
            connection.execute(CREATE_PROJECTION, row)
            tables[table.projection, table.version] = held
        checkpoints[table] = Checkpoint(*connection.execute(CHECKPOINT, (held.key,)).fetchone())
    return tables, checkpoints


def _is_new(connection: sqlite3.Connection, table: ViewTable) -> bool:
    """Makes the table; false where it is there."""
    before = len(connection.execute(PROJECTIONS).fetchall())
    _make(connection, [table])
    return len(connection.execute(PROJECTIONS).fetchall()) > before


def _load(connection: sqlite3.Connection, url: str, table: Table, keys: Sequence[str]) -> Mapping[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        for some in _padded([key for key in keys if text_fault(key) is None]):
            found.update(connection.execute(table.select(len(some)), some).fetchall())
    except DRIVER_ERRORS as error:
        raise unavailable(error, url) from error
    return found


def _commit(connection: sqlite3.Connection, log: Log, url: str, table: Table, changes: ViewChanges) -> bool:
    try:
        with transaction(connection, url):
            if not _move(connection, table, changes):
                return False
            if changes.parked or changes.unparked:
                change_letters(connection, table.key, changes)
            for some in _padded(changes.removed):
                connection.execute(table.delete(len(some)), some)
            values: list[Any] = []
            for view in changes.put:
                values += (view.key, view.payload, *view.index_values)
            table.put.run(connection, values)
    except LetterGone:
        return False
    except (sqlite3.IntegrityError, *DATA_ERRORS) as error:
        raise ValueError(f"{url} cannot hold a view: {error}") from error
    log.check()
    return True


def _move(connection: sqlite3.Connection, table: Table, changes: ViewChanges) -> bool:
    """Moves the checkpoint; false where it is not the expected one."""
    before, after = checkpoint_columns(changes.expected), checkpoint_columns(changes.checkpoint)
    return connection.execute(MOVE_CHECKPOINT, (*after, table.key, *before)).rowcount == 1


def _padded(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys in parts that have a power of two as size, so that few statements do; some keys come twice."""
    for start in range(0, len(keys), _KEYS_MAX):
        part = keys[start : start + _KEYS_MAX]
        size = 1 << (len(part) - 1).bit_length()
        yield [*part, *[part[-1]] * (size - len(part))]
