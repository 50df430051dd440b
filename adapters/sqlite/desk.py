"""The desk of a view store in SQLite: looks into the file, and leaves requests there, beside the bus that writes it."""

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from adapters.sqlite.builds import find_builds, key_of
from adapters.sqlite.database import Database, open_beside
from adapters.sqlite.letters import (
    find_letters,
    find_request,
    find_requests,
    in_reading,
    in_transaction,
    keep_request,
    parked_keys,
)
from adapters.sqlite.paths import real_path, url_of
from adapters.sqlite.thread import OwnerThread
from adapters.sqlite.view_schema import LAYOUT
from bus.core.builds import Build
from bus.core.errors import StoreUnavailable
from bus.core.letters import DeadLetter, Request
from bus.core.stored import ViewTable

T = TypeVar("T")


class SqliteViewDesk:
    """Used inside `async with`; the file must be there and up to date. Waits for the bus up to `busy_timeout_s`.

    With `read_only=True` nothing can be asked, and the file need not be writable.
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False, busy_timeout_s: float = 5.0) -> None:
        self._read_only = read_only
        self._path = real_path(path)
        self._url = url_of(path)
        self._busy_timeout_s = busy_timeout_s
        self._thread: OwnerThread[Database] | None = None

    @property
    def url(self) -> str:
        return self._url

    async def __aenter__(self) -> Self:
        thread = self._thread = OwnerThread[Database]("doubledecker-desk", self._url)
        timeout_s = None if self._read_only else self._busy_timeout_s
        database = await thread.start(partial(open_beside, self._path, LAYOUT, self._url, timeout_s))
        self._connection = database.connection
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.stop()

    async def builds(self) -> Sequence[Build]:
        return await self._read(find_builds)

    async def parked(self, table: ViewTable) -> Mapping[str, int]:
        return await self._read(_parked, table)

    async def letters(
        self, table: ViewTable, key: str | None = None, *, after: tuple[int, str] = (0, ""), limit: int
    ) -> Sequence[DeadLetter]:
        return await self._read(_letters, table, key, (*after, limit))

    async def ask(self, request: Request) -> None:
        if self._read_only:
            raise StoreUnavailable(f"{self._url} was opened read-only: nothing can be asked", store=self._url)
        await self._run(in_transaction, keep_request, request)

    async def requests(self, *, is_open: bool, limit: int) -> Sequence[Request]:
        return await self._read(find_requests, is_open, limit)

    async def asked(self, request_id: str) -> Request | None:
        return await self._read(find_request, request_id)

    async def _read(self, work: Callable[..., T], *arguments: object) -> T:
        return await self._run(in_reading, work, *arguments)

    async def _run(self, within: Callable[..., T], work: Callable[..., T], *arguments: object) -> T:
        if self._thread is None:
            raise StoreUnavailable(f"{self._url} is not open: use it inside `async with`", store=self._url)
        return await self._thread.run(partial(within, self._connection, self._url, work, *arguments))


def _parked(connection: sqlite3.Connection, table: ViewTable) -> dict[str, int]:
    key = key_of(connection, table)
    return {} if key is None else parked_keys(connection, key)


def _letters(
    connection: sqlite3.Connection, table: ViewTable, key: str | None, page: tuple[int, str, int]
) -> list[DeadLetter]:
    table_key = key_of(connection, table)
    return [] if table_key is None else find_letters(connection, table_key, table, key, page)
