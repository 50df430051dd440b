"""The event store in a SQLite file."""

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from operator import itemgetter
from types import TracebackType
from typing import Any, Self

import aiosqlite
import msgspec

from adapters.sqlite.append import Appender, texts
from adapters.sqlite.database import Database, Synchronous, check_level, open_for_reading, open_for_writing, reading_uri
from adapters.sqlite.event_schema import (
    COMMANDS,
    HEAD,
    HISTORIES,
    HISTORY,
    LAYOUT,
    NAMES,
    NAMES_BEFORE_2,
    PAGE,
    STREAM_PAGES,
    stored_events,
)
from adapters.sqlite.pages import EVENTS_MIN, TOGETHER, rows_of
from adapters.sqlite.paths import real_path, url_of
from adapters.sqlite.readers import Readers, rows
from adapters.sqlite.snapshots import find_snapshots, save_snapshots
from adapters.sqlite.thread import OwnerThread
from bus.core.errors import BusError, StoreInUse, StoreUnavailable
from bus.core.stored import AlreadyRecorded, Append, Appended, History, Snapshot, StoredEvent, text_fault


class SqliteEventStore:
    """Events in one file, written by one bus at a time and read by any number; see `Synchronous` for durability.

    `read_only=True` opens a store beside the bus that writes it, and never writes. `busy_timeout_s` bounds the wait for
    other programs that lock the file, `heads_max` the streams whose version is remembered, `readers_max` the
    connections (each with a thread) that read at the same time.
    """

    shared = False
    appends_at_once = 1

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: Synchronous = "FULL",
        read_only: bool = False,
        busy_timeout_s: float = 5.0,
        heads_max: int = 200_000,
        readers_max: int = 4,
    ) -> None:
        self._path = real_path(path)
        self._url = url_of(path)
        self._synchronous: Synchronous = check_level(synchronous)
        self._read_only = read_only
        self._busy_timeout_s = busy_timeout_s
        self._heads_max = heads_max
        self._readers_max = readers_max
        self._identity = ""
        self._schema_version = 0
        self._thread: OwnerThread[Database] | None = None

    @property
    def url(self) -> str:
        return self._url

    @property
    def identity(self) -> str:
        return self._identity

    async def __aenter__(self) -> Self:
        if self._thread is not None:
            raise StoreInUse(f"{self._url} is in use by another bus: close that one", store=self._url)
        thread = self._thread = OwnerThread[Database]("doubledecker-events", self._url)
        try:
            database = await thread.start(self._open)
        except BaseException:
            self._thread = None
            raise
        self._database = database
        self._identity = database.identity
        self._schema_version = database.version
        self._connection = database.connection
        self._appender = Appender(database.connection, self._url, self._heads_max)
        self._readers = Readers(reading_uri(self._path), self._url, self._readers_max)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        thread, self._thread = self._opened(), None
        try:
            if isinstance(error, BusError):
                # The bus refuses what it has found, which stays as it is: its log may be all that is left of an event.
                await thread.run(self._database.keep_log)
            await self._readers.close()
        finally:
            await thread.stop()

    async def append(self, batch: Sequence[Append], recorded_at: datetime) -> Appended:
        if self._read_only:
            raise StoreUnavailable(f"{self._url} was opened read-only: nothing can be recorded", store=self._url)
        return await self._opened().run(partial(self._appender.append, batch, recorded_at))

    async def head(self) -> int:
        position: int = (await self._fetch(HEAD))[0][0]
        return position

    async def names(self) -> Mapping[str, str]:
        return dict(await self._fetch(NAMES if self._schema_version >= 2 else NAMES_BEFORE_2))

    async def page(self, after: int, limit: int) -> Sequence[StoredEvent]:
        found = await self._page_in_one_row(after, limit) if limit >= EVENTS_MIN else None
        return await self._events(PAGE, after, limit) if found is None else found

    async def _page_in_one_row(self, after: int, limit: int) -> list[StoredEvent] | None:
        """None where it cannot be read so, for whatever reason: row by row that is found out."""
        self._opened()
        try:
            async with self._readers.lease() as connection:
                (page,) = await rows(connection, TOGETHER, (after, limit))
        except StoreUnavailable:
            return None
        found = rows_of(page)
        return None if found is None else stored_events(found)

    async def stream_pages(self, after: Mapping[str, int], limit: int) -> Sequence[StoredEvent]:
        return await self._events(STREAM_PAGES, _versions(after), limit)

    async def histories(
        self, after: Mapping[str, int], limit: int, snapshots: Mapping[str, str] | None = None
    ) -> Sequence[History]:
        self._opened()
        begin: dict[str, Snapshot] = {}
        async with self._readers.lease() as connection:
            if snapshots and self._schema_version >= 2:
                begin = await find_snapshots(connection, snapshots, after)
                after = {**after, **{stream: snapshot.version for stream, snapshot in begin.items()}}
            found = await _events_after(connection, after, limit)
        found.update({stream: () for stream in begin if stream not in found})
        return [History(name, after[name] + len(events), events, begin.get(name)) for name, events in found.items()]

    async def save_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        if self._read_only:
            raise StoreUnavailable(f"{self._url} was opened read-only: no snapshot can be kept", store=self._url)
        await self._opened().run(partial(save_snapshots, self._connection, self._url, snapshots))

    async def find_commands(self, command_ids: Iterable[str]) -> Mapping[str, AlreadyRecorded]:
        found: dict[str, list[StoredEvent]] = {}
        for event in await self._events(COMMANDS, texts(dict.fromkeys(command_ids))):
            found.setdefault(event.command_id, []).append(event)
        return {command_id: AlreadyRecorded(tuple(events)) for command_id, events in found.items()}

    async def _events(self, query: str, *parameters: object) -> list[StoredEvent]:
        rows = await self._fetch(query, *parameters)
        return stored_events(rows, mended=self._readers.is_damaged)

    async def _fetch(self, query: str, *parameters: object) -> list[Any]:
        self._opened()
        return await self._readers.fetch(query, parameters)

    def _opened(self) -> OwnerThread[Database]:
        if self._thread is None:
            raise StoreUnavailable(f"{self._url} is not open: use it inside `async with`", store=self._url)
        return self._thread

    def _open(self) -> Database:
        if self._read_only:
            return open_for_reading(self._path, LAYOUT, self._url)
        return open_for_writing(self._path, LAYOUT, self._url, self._synchronous, self._busy_timeout_s)


async def _events_after(
    connection: aiosqlite.Connection, after: Mapping[str, int], limit: int
) -> dict[str, tuple[tuple[str, bytes], ...]]:
    """Name and payload of events by stream; streams without any are missing."""
    if len(after) == 1:
        ((stream, version),) = after.items()
        if text_fault(stream) is not None:
            return {}
        one = tuple(await rows(connection, HISTORY, (stream, version, limit)))
        return {stream: one} if one else {}
    found = await rows(connection, HISTORIES, (_versions(after), limit))
    return {
        stream: tuple([(name, payload) for _, name, payload in group])
        for stream, group in itertools.groupby(found, itemgetter(0))
    }


def _versions(after: Mapping[str, int]) -> str:
    """Streams and versions as `json_each` takes them, without names that no column can hold."""
    return msgspec.json.encode({name: version for name, version in after.items() if text_fault(name) is None}).decode()
