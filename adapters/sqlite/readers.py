"""A bounded pool of connections that read beside the writer, by aiosqlite."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiosqlite

from adapters.sqlite.errors import DRIVER_ERRORS, unavailable
from adapters.sqlite.event_schema import NoText
from adapters.sqlite.thread import finished
from bus.core.errors import StoreUnavailable

_NO_UTF8 = "Could not decode to UTF-8"
"""How the driver's error begins for such a text."""

_SETTINGS = "PRAGMA query_only = ON; PRAGMA cache_size = -16384"


class Readers:
    """Connections that are opened when needed, up to a limit, and kept; who comes when all are in use waits."""

    def __init__(self, uri: str, url: str, connections_max: int) -> None:
        self._uri = uri
        self._url = url
        self._room = asyncio.Semaphore(connections_max)
        self._idle: list[aiosqlite.Connection] = []
        self._open: set[aiosqlite.Connection] = set()
        self._stopping: set[asyncio.Future[Any]] = set()
        self._closed = False
        self.is_damaged = False
        """Whether a text was found that is none."""

    async def fetch(self, query: str, parameters: Iterable[Any] = ()) -> list[Any]:
        """All rows of a query, which sees what is committed when it begins.

        Of a damaged file, texts that are no UTF-8 come as `NoText`, so that they keep nobody from the other rows.
        """
        async with self.lease() as connection:
            try:
                return await rows(connection, query, parameters)
            except sqlite3.OperationalError as error:
                if not str(error).startswith(_NO_UTF8):
                    raise
                # Its frames hold a cursor, and that the connection.
                error.__traceback__ = None
            self.is_damaged = True
            connection.text_factory = _readable
            return await rows(connection, query, parameters)

    @asynccontextmanager
    async def lease(self) -> AsyncGenerator[aiosqlite.Connection]:
        """A connection for one user; driver's errors become `StoreUnavailable`.

        When the body ends by an exception, cancellation included, nobody knows in what state the connection is, and
        perhaps it still works on a query: it is closed and not used again.
        """
        async with self._room:
            try:
                connection = self._idle.pop() if self._idle else await self._connect()
                try:
                    yield connection
                except BaseException:
                    await connection.interrupt()
                    self._discard(connection)
                    raise
            except DRIVER_ERRORS as error:
                raise unavailable(error, self._url) from error
            if connection in self._open:
                self._idle.append(connection)

    async def close(self) -> None:
        """Closes all connections, those in use as well, and ends their threads."""
        self._closed = True
        for connection in list(self._open):
            self._discard(connection)
        self._idle.clear()
        await finished(*self._stopping)

    async def _connect(self) -> aiosqlite.Connection:
        if self._closed:
            raise StoreUnavailable(f"{self._url} is closed", store=self._url)
        # The thread that reads is aiosqlite's; closing what it opened for nobody is ours.
        connector = partial(sqlite3.connect, self._uri, uri=True, isolation_level=None, check_same_thread=False)
        connection = _Reader(connector, self._stopping)
        await connection
        self._open.add(connection)
        try:
            await connection.executescript(_SETTINGS)
        except BaseException:
            self._discard(connection)
            raise
        return connection

    def _discard(self, connection: aiosqlite.Connection) -> None:
        self._open.discard(connection)
        connection.stop()  # pyright: ignore[reportUnknownMemberType]


class _Reader(aiosqlite.Connection):
    """A connection whose end can be waited for, also where aiosqlite ends it because opening failed."""

    def __init__(self, connector: Callable[[], sqlite3.Connection], stopping: set["asyncio.Future[Any]"]) -> None:
        super().__init__(self._connect_and_note, iter_chunk_size=64)
        self._given_connector = connector
        self._opened: sqlite3.Connection | None = None
        """What the thread opened, also where the one who asked for it had gone and aiosqlite never took it."""
        self._stopped_by: asyncio.Future[Any] | None = None
        self._all_stopping = stopping

    def _connect_and_note(self) -> sqlite3.Connection:
        self._opened = self._given_connector()
        return self._opened

    def _close_opened(self, _: object) -> None:
        if self._opened is not None:
            self._opened.close()

    def stop(self) -> "asyncio.Future[Any] | None":
        # The thread answers the first request only.
        if self._stopped_by is None:
            self._stopped_by = super().stop()  # pyright: ignore[reportUnknownMemberType]
            if self._stopped_by is not None:
                self._all_stopping.add(self._stopped_by)
                self._stopped_by.add_done_callback(self._close_opened)
                self._stopped_by.add_done_callback(self._all_stopping.discard)
        return self._stopped_by


async def rows(connection: aiosqlite.Connection, query: str, parameters: Iterable[Any] = ()) -> list[Any]:
    """All rows of a query, in one hop."""
    return list(await connection.execute_fetchall(query, parameters))


def _readable(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return NoText(text.decode(errors="replace"))
