"""The schema of a store: found, created, brought up to date by numbered files, or refused."""

from dataclasses import dataclass
from importlib.resources import files
from typing import Final
from uuid import uuid4

import asyncpg

from adapters.postgres.connections import Connection, connect, require_asyncio
from adapters.postgres.errors import DRIVER_ERRORS, advice, sqlstate, told
from adapters.postgres.urls import Target
from bus.core.errors import StoreNotReadable, StoreReadOnly, StoreTooNew, Unusable

SERVER_VERSION_MIN: Final = 13

MIGRATION_LOCK: Final = "SELECT pg_advisory_xact_lock(1145195881, hashtext($1))"
"""Under which the tables of a schema are made."""

_READ_ONLY = ("25006", "42501")
_REFUSED = ("28", "3D", "42")


@dataclass(frozen=True)
class Layout:
    """What makes a schema one of ours."""

    noun: str
    table: str
    """The table of one row that tells the version."""
    probe: str
    """A statement that changes nothing and needs the privileges that writing needs."""
    folder: str
    """Where its migrations are: `0001.sql`, `0002.sql`, ...; none is ever changed."""
    readable_from: int = 1
    """The first schema version that can be read without being brought up to date."""

    def migrations(self) -> list[str]:
        """In order."""
        folder = files("adapters.postgres").joinpath("migrations", self.folder)
        names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
        return [folder.joinpath(name).read_text(encoding="utf-8") for name in names]


async def open_schema(target: Target, layout: Layout, *, read_only: bool, timeout_s: float) -> Connection:
    """A connection to a database whose schema is as this release wants it; raises a subclass of `Unusable`."""
    require_asyncio(target.url)
    try:
        connection = await connect(target, timeout_s)
    except (*DRIVER_ERRORS, ValueError) as error:
        raise unusable(error, target.url) from error
    try:
        if connection.get_server_version().major < SERVER_VERSION_MIN:
            raise Unusable(
                f"{target.url} is PostgreSQL {connection.get_server_version().major}: "
                f"{SERVER_VERSION_MIN} or later is needed",
                store=target.url,
            )
        await _make_ready(connection, target, layout, read_only=read_only)
    except BaseException as error:
        connection.terminate()
        if isinstance(error, DRIVER_ERRORS):
            raise unusable(error, target.url) from error
        raise
    return connection


async def _make_ready(connection: Connection, target: Target, layout: Layout, *, read_only: bool) -> None:
    migrations = layout.migrations()
    version = await _version(connection, target, layout, len(migrations))
    if read_only:
        if version == 0:
            raise StoreNotReadable(
                f"{target.url} has no {layout.noun} in schema {target.schema!r}: nothing was ever recorded there",
                store=target.url,
            )
        if version < layout.readable_from:
            raise StoreNotReadable(
                f"{target.url}: the {layout.noun} has schema version {version}, older than this release's "
                f"{len(migrations)}: let a bus of this release open it first",
                store=target.url,
            )
        return
    if version < len(migrations):
        async with connection.transaction(isolation="read_committed"):
            # Whoever comes second looks again, and finds the work done.
            await connection.execute(MIGRATION_LOCK, target.schema)
            version = await _version(connection, target, layout, len(migrations))
            if version < len(migrations):
                await _migrate(connection, target, layout, migrations[version:], len(migrations))
    # Tells at once, and not at the first command, that nothing can be written here.
    async with connection.transaction(isolation="read_committed", readonly=False):
        await connection.execute(layout.probe.replace("{schema}", target.quoted_schema))


async def _version(connection: Connection, target: Target, layout: Layout, known: int) -> int:
    """The schema's version, 0 where there is none."""
    query = "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = $1 AND relname = $2"
    if await connection.fetchval(query, target.schema, layout.table) is None:
        return 0
    found: int = await connection.fetchval(f"SELECT schema_version FROM {target.quoted_schema}.{layout.table}")
    if found > known:
        raise StoreTooNew(
            f"{target.url}: the {layout.noun} has schema version {found}, and this release knows {known}: "
            "use the release that wrote it, or a later one",
            store=target.url,
        )
    return found


async def _migrate(connection: Connection, target: Target, layout: Layout, steps: list[str], version: int) -> None:
    exists = await connection.fetchval("SELECT 1 FROM pg_namespace WHERE nspname = $1", target.schema)
    if exists is None:
        await connection.execute(f"CREATE SCHEMA {target.quoted_schema}")
    for step in steps:
        filled = step.replace("{schema}", target.quoted_schema).replace("{identity}", f"'{uuid4()}'")
        await connection.execute(filled)
    await connection.execute(f"UPDATE {target.quoted_schema}.{layout.table} SET schema_version = {version}")


def unusable(error: BaseException, url: str) -> Unusable:
    """The driver's error as the bus knows it, while a store is opened."""
    message = f"{url} cannot be opened ({told(error)}): {advice(error)}"
    code = sqlstate(error)
    if code.startswith(_READ_ONLY):
        return StoreReadOnly(message, store=url)
    if code.startswith(_REFUSED) or isinstance(error, asyncpg.InvalidPasswordError):
        return StoreNotReadable(message, store=url)
    return Unusable(message, store=url)
