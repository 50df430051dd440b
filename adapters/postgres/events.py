"""The event store in PostgreSQL, which several processes may write to."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from operator import itemgetter
from types import TracebackType
from typing import Any, Final, Self

from adapters.postgres.append import APPEND_BATCH, APPEND_EACH, Arguments, all_at_once, each_by_itself, refusal_of
from adapters.postgres.connections import Connection, Connections
from adapters.postgres.errors import (
    DRIVER_ERRORS,
    UNIQUE_VIOLATION,
    InDoubt,
    has_ended,
    is_certain,
    is_data_error,
    sqlstate,
    told,
    unavailable,
)
from adapters.postgres.heads import Heads
from adapters.postgres.news import News
from adapters.postgres.reading import (
    COMMANDS,
    HEAD,
    HISTORIES,
    IDENTITY,
    NAMES,
    PAGE,
    STREAM_PAGES,
    stored_events,
    texts,
    to_microseconds,
    versions,
)
from adapters.postgres.schema import Layout, open_schema, unusable
from adapters.postgres.snapshots import FIND, SAVE, find_snapshots, save_snapshots
from adapters.postgres.urls import target_of
from bus.core.errors import StoreInUse, StoreUnavailable
from bus.core.stored import AlreadyRecorded, Append, Appended, History, Refusal, Snapshot, StoredEvent

LAYOUT: Final = Layout(
    noun="event store",
    table="event_store",
    probe="INSERT INTO {schema}.events SELECT * FROM {schema}.events WHERE false",
    folder="events",
)


class PostgresEventStore:
    """Events in one schema of a database, for any number of buses at a time.

    `postgresql://user:password@host:5432/database?schema=name`; the schema is created where it is missing, which
    `read_only=True` does not. `timeout_s` bounds the wait for a connection and for each statement, `readers_max` the
    connections that read at the same time (two more append, and one listens), `heads_max` the streams whose version
    is remembered. `notify_interval_s` is the shortest time between two messages to other processes. Behind a pooler
    that gives each transaction another session write `?pooled=yes`; then `listen_url` may name the server itself.
    """

    shared = True
    appends_at_once = 2

    def __init__(
        self,
        url: str,
        *,
        read_only: bool = False,
        timeout_s: float = 30.0,
        readers_max: int = 4,
        heads_max: int = 200_000,
        listen_url: str | None = None,
        notify_interval_s: float = 0.05,
    ) -> None:
        self._listen_url = listen_url
        self._notify_interval_s = notify_interval_s
        self._heads_max = heads_max
        self._target = target_of(url)
        self._read_only = read_only
        self._timeout_s = timeout_s
        self._readers_max = readers_max
        self._identity = ""
        self._is_used = False
        self._readers: Connections | None = None

    @property
    def url(self) -> str:
        return self._target.url

    @property
    def identity(self) -> str:
        return self._identity

    async def __aenter__(self) -> Self:
        if self._is_used:
            raise StoreInUse(f"another bus uses this {type(self).__name__}: make another one", store=self.url)
        self._is_used = True
        try:
            connection = await open_schema(self._target, LAYOUT, read_only=self._read_only, timeout_s=self._timeout_s)
            self._identity = await connection.fetchval(self._sql(IDENTITY))
        except BaseException as error:
            self._is_used = False
            if isinstance(error, DRIVER_ERRORS):
                raise unusable(error, self.url) from error
            raise
        self._writers = Connections(self._target, self.appends_at_once, connect_timeout_s=self._timeout_s)
        self._writers.add(connection)
        self._heads = Heads(self._heads_max)
        # A channel belongs to a database, in which there may be several stores.
        self._news = News(
            target_of(self._listen_url) if self._listen_url else self._target,
            f"doubledecker.{self._identity}",
            interval_s=self._notify_interval_s,
            timeout_s=self._timeout_s,
        )
        self._readers = Connections(self._target, self._readers_max, connect_timeout_s=self._timeout_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        readers, self._readers = self._opened(), None
        self._is_used = False
        await self._writers.close()
        await readers.close()

    async def append(self, batch: Sequence[Append], recorded_at: datetime) -> Appended:
        self._opened()
        if self._read_only:
            raise StoreUnavailable(f"{self.url} was opened read-only: nothing can be recorded", store=self.url)
        moment = to_microseconds(recorded_at)
        async with self._writers.lease() as connection:
            staged = all_at_once(batch, moment, self._heads)
            if staged is not None:
                row = await self._call(connection, APPEND_BATCH, staged.arguments, batch)
                if row is not None and row[0] >= 0:
                    if staged.last_command_id is not None:
                        anchor = (row[0] + staged.events, staged.last_command_id)
                        self._heads.update(staged.reached, anchor, staged.names)
                        self._news.tell(row[0] + staged.events)
                    return Appended(row[0], {})
            # What was remembered may be why.
            self._heads.clear()
            arguments, faults = each_by_itself(batch, moment)
            row = await self._call(connection, APPEND_EACH, arguments, batch)
            assert row is not None, "entry by entry, nothing is unexpected"
        position_before, told_each = row
        refused: dict[int, Refusal | None] = {
            index: faults.get(index) or refusal_of(said) for index, said in enumerate(told_each) if said is not None
        }
        self._news.tell(position_before + sum(len(one.events) for n, one in enumerate(batch) if n not in refused))
        recorded = [batch[index].command_id for index, refusal in refused.items() if refusal is None]
        # What is recorded never changes, so this may be looked up when the lock is free again.
        try:
            known: Mapping[str, AlreadyRecorded] = await self.find_commands(recorded) if recorded else {}
        except StoreUnavailable as error:
            # Which speaks of the look-up: the rest of the batch is recorded.
            raise InDoubt(f"{self.url}: an append's answer could not be completed ({error})") from error
        return Appended(
            position_before,
            {index: refusal or known[batch[index].command_id] for index, refusal in refused.items()},
        )

    async def _call(
        self, connection: Connection, query: str, arguments: Arguments, batch: Sequence[Append]
    ) -> tuple[Any, ...] | None:
        """The procedure's answer; None where it refused the batch as a whole, of which nothing is recorded."""
        try:
            # The driver's own limit, for each append has one and it is the cheaper.
            row = await connection.fetchrow(self._sql(query), *arguments, timeout=self._timeout_s)
            assert row is not None, "a procedure with results gives one row"
            return tuple(row)
        except (*DRIVER_ERRORS, ValueError) as error:
            if query is APPEND_BATCH and (is_data_error(error) or sqlstate(error) == UNIQUE_VIOLATION):
                return None
            if is_certain(error) or (has_ended(error) and not await self._happened(connection, batch)):
                raise unavailable(error, self.url) from error
            raise InDoubt(
                f"{self.url}: it is not certain whether an append that failed ({told(error)}) was or will be recorded"
            ) from error

    async def _happened(self, connection: Connection, batch: Sequence[Append]) -> bool:
        """Whether an append that was cancelled, perhaps after its commit, is there.

        Nothing of it is on its way any more, and so what is not there now never will be.
        """
        wanted = texts(entry.command_id for entry in batch if entry.events)
        try:
            async with asyncio.timeout(self._timeout_s):
                return bool(await connection.fetchval(f"SELECT EXISTS ({self._sql(COMMANDS)})", wanted))
        except (*DRIVER_ERRORS, ValueError):
            return True

    async def follow(self, heard: Callable[[int], None]) -> None:
        """See the port `Waking`: by LISTEN, which a pooler takes away."""
        self._opened()
        if self._listen_url is not None or not self._target.pooled:
            await self._news.follow(heard, self._sql(HEAD))

    async def head(self) -> int:
        position: int = (await self._fetch(HEAD))[0][0]
        return position

    async def names(self) -> Mapping[str, str]:
        return {row[0]: row[1] for row in await self._fetch(NAMES)}

    async def page(self, after: int, limit: int) -> Sequence[StoredEvent]:
        return stored_events(await self._fetch(PAGE, after, limit))

    async def stream_pages(self, after: Mapping[str, int], limit: int) -> Sequence[StoredEvent]:
        return stored_events(await self._fetch(STREAM_PAGES, *versions(after), limit))

    async def histories(
        self, after: Mapping[str, int], limit: int, snapshots: Mapping[str, str] | None = None
    ) -> Sequence[History]:
        begin: dict[str, Snapshot] = {}
        async with self._reading() as connection:
            if snapshots:
                begin = await find_snapshots(connection, self._sql(FIND), snapshots, after)
                after = {**after, **{stream: snapshot.version for stream, snapshot in begin.items()}}
            rows = await connection.fetch(self._sql(HISTORIES), *versions(after), limit)
        found: dict[str, tuple[tuple[str, bytes], ...]] = {
            stream: tuple([(name, payload) for _, name, payload in group])
            for stream, group in itertools.groupby(rows, itemgetter(0))
        }
        found.update({stream: () for stream in begin if stream not in found})
        return [History(name, after[name] + len(events), events, begin.get(name)) for name, events in found.items()]

    async def save_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        if self._read_only:
            raise StoreUnavailable(f"{self.url} was opened read-only: no snapshot can be kept", store=self.url)
        async with self._reading() as connection:
            await save_snapshots(connection, self._sql(SAVE), snapshots)

    async def find_commands(self, command_ids: Iterable[str]) -> Mapping[str, AlreadyRecorded]:
        found: dict[str, list[StoredEvent]] = {}
        for event in stored_events(await self._fetch(COMMANDS, texts(dict.fromkeys(command_ids)))):
            found.setdefault(event.command_id, []).append(event)
        return {command_id: AlreadyRecorded(tuple(events)) for command_id, events in found.items()}

    async def _fetch(self, query: str, *parameters: object) -> list[Any]:
        async with self._reading() as connection:
            return await connection.fetch(self._sql(query), *parameters)

    @asynccontextmanager
    async def _reading(self) -> AsyncGenerator[Connection]:
        """A connection beside the one that appends, for `timeout_s`; its errors become `StoreUnavailable`."""
        async with self._opened().lease() as connection:
            try:
                async with asyncio.timeout(self._timeout_s):
                    yield connection
            except DRIVER_ERRORS as error:
                raise unavailable(error, self.url) from error

    def _opened(self) -> Connections:
        if self._readers is None:
            raise StoreUnavailable(f"{self.url} is not open: use it inside `async with`", store=self.url)
        return self._readers

    def _sql(self, query: str) -> str:
        return query.replace("{schema}", self._target.quoted_schema)
