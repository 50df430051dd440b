"""The view store in a SQLite file."""

import os
import sqlite3
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from adapters.sqlite import builds
from adapters.sqlite.builds import Tables
from adapters.sqlite.database import Database, Synchronous, check_level, open_for_writing, reading_uri
from adapters.sqlite.errors import DATA_ERRORS, DRIVER_ERRORS, unavailable
from adapters.sqlite.letters import (
    LetterGone,
    answer_request,
    change_letters,
    find_letters,
    find_request,
    find_requests,
    in_transaction,
    keep_request,
    parked_keys,
)
from adapters.sqlite.log import Log
from adapters.sqlite.paths import real_path, url_of
from adapters.sqlite.readers import Readers
from adapters.sqlite.reindexing import reindex
from adapters.sqlite.thread import OwnerThread
from adapters.sqlite.transaction import transaction
from adapters.sqlite.turns import Turns
from adapters.sqlite.view_reader import SqliteViewReader, gone, indexed
from adapters.sqlite.view_schema import (
    CHECKPOINT,
    LAYOUT,
    MOVE_CHECKPOINT,
    Table,
    checkpoint_columns,
)
from adapters.sqlite.writing import Writing
from bus.core.builds import ANSWERING, BUILDING, Build, Standing
from bus.core.errors import StoreInUse, StoreUnavailable
from bus.core.letters import DeadLetter, Request
from bus.core.projection import IndexValue
from bus.core.stored import (
    Checkpoint,
    Claim,
    StoredView,
    ViewChanges,
    ViewTable,
    dropped,
    text_fault,
    views_fault,
)
from bus.core.transactions import Work

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_decode_keys = msgspec.json.Decoder(list[str]).decode
_decode_sizes = msgspec.json.Decoder(list[int]).decode

_KEYS_MAX = 4_096
"""Keys in one statement; SQLite allows 32,766."""

_BEGIN_SNAPSHOT = "BEGIN; SELECT 1 FROM projections LIMIT 1"
"""A transaction sees what is committed at its first read, so that comes at once."""


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
        # What a process that ended has left of tables that were dropped; it is in nobody's way for now.
        try:
            with suppress(StoreUnavailable):
                await self._clear()
        except BaseException:
            await self.__aexit__(*sys.exc_info())
            raise
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
        if (fault := views_fault(changes.put)) is not None:
            raise ValueError(f"a view of {table.projection!r} cannot be kept, key or index is {fault}")
        held = self._table(table)

        def job() -> bool:
            is_written = _commit(self._connection, self._url, table, held, changes)
            self._log.check()
            return is_written

        return await self._opened().run(job)

    async def set_up(self, table: ViewTable, work: Work, timeout_s: float) -> None:
        self._opened()
        await self._writing.run(partial(_is_new, self._connection, table), work)

    async def write(self, table: ViewTable, changes: ViewChanges, work: Work, timeout_s: float) -> bool:
        self._opened()
        begin = partial(_move, self._connection, self._url, table, self._table(table), changes)
        return await self._writing.run(begin, work)

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
    async def snapshot(self) -> AsyncGenerator[SqliteViewReader]:
        self._opened()
        async with self._readers.lease() as connection:
            # Looked at before: what is made meanwhile is not in the snapshot for certain.
            reader = SqliteViewReader(connection, self._tables, self._url)
            await connection.executescript(_BEGIN_SNAPSHOT)
            yield reader
            await connection.rollback()

    def _opened(self) -> Turns[Database]:
        if self._thread is None:
            raise StoreUnavailable(f"{self._url} is not open: use it inside `async with`", store=self._url)
        return self._thread

    def _table(self, table: ViewTable) -> Table:
        return indexed(self._tables, table, self._url)


def _prepare(connection: sqlite3.Connection, wanted: Sequence[ViewTable]) -> dict[ViewTable, Checkpoint]:
    for table in wanted:
        _is_new(connection, table)
    return _checkpoints(connection, wanted)


def _is_new(connection: sqlite3.Connection, table: ViewTable) -> bool:
    """Makes the table; false where it is there."""
    if builds.key_of(connection, table) is not None:
        return False
    builds.make(connection, table, ANSWERING, None)
    return True


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
    try:
        return loaded(connection, held, [key for key in keys if text_fault(key) is None])
    except DRIVER_ERRORS as error:
        raise gone(error, table, url) or unavailable(error, url) from error


def loaded(connection: sqlite3.Connection, held: Table, keys: Sequence[str]) -> dict[str, bytes]:
    """In one row, or in several where that would be longer than SQLite allows."""
    try:
        found, sizes, payloads = connection.execute(held.load(), (_encode(keys).decode(),)).fetchone()
    except sqlite3.DataError:
        if len(keys) < 2:
            raise
        half = len(keys) // 2
        return loaded(connection, held, keys[:half]) | loaded(connection, held, keys[half:])
    views: dict[str, bytes] = {}
    start = 0
    for key, size in zip(_decode_keys(found), _decode_sizes(sizes), strict=True):
        views[key] = payloads[start : start + size]
        start += size
    return views


def _commit(connection: sqlite3.Connection, url: str, table: ViewTable, held: Table, changes: ViewChanges) -> bool:
    try:
        with transaction(connection, url):
            if not _move(connection, url, table, held, changes):
                return False
            if changes.parked or changes.unparked:
                change_letters(connection, held.key, changes)
            for some in _padded(changes.removed):
                connection.execute(held.delete(len(some)), some)
            held.put.run(connection, _flat(changes.put, 2 + len(held.fields)))
    except LetterGone:
        return False
    except (sqlite3.IntegrityError, *DATA_ERRORS) as error:
        raise ValueError(f"{url} cannot hold a view: {error}") from error
    return True


def _flat(views: Sequence[StoredView], width: int) -> list[Any]:
    """The rows, one after the other."""
    values: list[Any] = [None] * (len(views) * width)
    values[::width] = [view.key for view in views]
    values[1::width] = [view.payload for view in views]
    for place in range(2, width):
        values[place::width] = [view.index_values[place - 2] for view in views]
    return values


def _move(connection: sqlite3.Connection, url: str, table: ViewTable, held: Table, changes: ViewChanges) -> bool:
    """Moves the checkpoint; false where it is not the expected one, and raises `ViewsDropped` where there is none."""
    before, after = checkpoint_columns(changes.expected), checkpoint_columns(changes.checkpoint)
    if connection.execute(MOVE_CHECKPOINT, (*after, held.key, *before)).rowcount == 1:
        return True
    if connection.execute(CHECKPOINT, (held.key,)).fetchone() is None:
        raise dropped(table, url)
    return False


def _padded(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys in parts that have a power of two as size, so that few statements do; some keys come twice."""
    for start in range(0, len(keys), _KEYS_MAX):
        part = keys[start : start + _KEYS_MAX]
        size = 1 << (len(part) - 1).bit_length()
        yield [*part, *[part[-1]] * (size - len(part))]
