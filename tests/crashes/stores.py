"""Stores: what a worker is killed on, by the options that name them to it and by the ports that an audit reads."""

from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle
from pathlib import Path
from uuid import uuid4

import anyio
import asyncpg
import msgspec

from adapters.postgres import PostgresEventStore, PostgresViewStore
from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bus.ports import EventStore, ViewStore

PATIENCE_S = 60


class Stores(msgspec.Struct, frozen=True):
    """A pair of stores that outlives its workers."""

    arguments: tuple[str, ...]
    """`--store` and `--views`, as the worker takes them."""
    events: Callable[[], EventStore]
    """To read, also beside a worker that writes."""
    views: Callable[[], ViewStore]
    """To read, also beside a worker where the store is a server's."""
    rest: Callable[[], Awaitable[None]]
    """Returns when nothing that a killed worker sent is on its way any more."""


NewStores = Callable[[Path], Stores]
"""A new pair, with a folder that is its own."""


def sqlite(folder: Path) -> Stores:
    events, views = folder / "events.db", folder / "views.db"

    async def rest() -> None:
        """Who is dead writes no more."""

    return Stores(
        ("--store", f"sqlite:///{events}", "--views", f"sqlite:///{views}"),
        lambda: SqliteEventStore(events, read_only=True),
        lambda: SqliteViewStore(views),
        rest,
    )


def postgres(server_urls: Sequence[str]) -> NewStores:
    """Each pair is in a schema of its own, of one server after the other."""
    servers = cycle(server_urls)
    return lambda folder: in_schema(next(servers), f"{folder.name.replace('-', '_')}_{uuid4().hex}")


def in_schema(server_url: str, schema: str) -> Stores:
    url = f"{server_url}{'&' if '?' in server_url else '?'}schema={schema}"
    workers = f"{url}&application_name={schema}"
    return Stores(
        ("--store", workers, "--views", workers),
        lambda: PostgresEventStore(url, read_only=True),
        lambda: PostgresViewStore(url),
        lambda: _ended(server_url, schema),
    )


async def _ended(server_url: str, name: str) -> None:
    """The server carries out what it was sent, also when the sender is no more, and then ends the session."""
    connection = await asyncpg.connect(server_url)
    try:
        with anyio.fail_after(PATIENCE_S):
            while await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", name):
                await connection.execute("SELECT pg_sleep(0.005)")
    finally:
        await connection.close()
