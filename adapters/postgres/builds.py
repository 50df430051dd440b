"""Builds in PostgreSQL: the tables that there are, how they are made, which of them answers, and how one goes."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from adapters.postgres.connections import Connection, Connections
from adapters.postgres.errors import (
    DRIVER_ERRORS,
    LOCK_NOT_AVAILABLE,
    InDoubt,
    is_certain,
    sqlstate,
    told,
    unavailable,
)
from adapters.postgres.schema import MIGRATION_LOCK
from adapters.postgres.urls import Target
from adapters.postgres.view_tables import COMMIT_FORM, CREATE_PROJECTION, NEXT_KEY, Table
from bus.core.builds import Build, Standing, State
from bus.core.errors import StoreUnavailable
from bus.core.stored import Checkpoint, ViewTable, as_texts, from_texts

BUILDS = """
SELECT projection, version, build, indexes, projection_key, procedure_form, state, since, standing,
       position, store_id, stream, stream_version
FROM {schema}.projections LEFT JOIN {schema}.standings USING (projection_key) ORDER BY projection, version, build
"""
INDEXES = "SELECT indexes FROM {schema}.projections WHERE projection = $1 AND version = $2 AND build = $3"
IS_THERE = "SELECT 1 FROM {schema}.projections WHERE projection_key = $1"
_SWITCH = "CALL {schema}.switch_views($1, $2, $3, $4, $5, $6, $7, $8, NULL)"
_DROP = "CALL {schema}.drop_views($1, $2, $3, $4, $5, NULL)"
TELL = """
INSERT INTO {schema}.standings
SELECT projection_key, $4 FROM {schema}.projections WHERE projection = $1 AND version = $2 AND build = $3 FOR KEY SHARE
ON CONFLICT (projection_key) DO UPDATE SET standing = excluded.standing
"""
"""Who drops the table is waited for, so that nothing is said of one that is not there."""

PATIENCE_S: Final = 0.1
"""How long a drop waits at a time for those who read; who comes to read meanwhile waits behind it."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Builds:
    """What changes which builds there are: by procedures that commit by themselves, in `timeout_s` each."""

    def __init__(self, connections: Connections, target: Target, timeout_s: float) -> None:
        self._connections = connections
        self._target = target
        self._timeout_s = timeout_s

    async def switch(self, table: ViewTable, epoch: int, over: ViewTable, since: datetime) -> bool:
        """See the port."""
        return await self._call(_SWITCH, *table.place, epoch, *over.place, _micros(since))

    async def drop(self, table: ViewTable) -> bool:
        """See the port; raises `StoreUnavailable` where somebody reads the table all the time."""
        now = asyncio.get_running_loop().time
        ends_at, pause_s = now() + self._timeout_s, PATIENCE_S
        while True:
            try:
                return await self._call(_DROP, self._target.schema, *table.place, f"{PATIENCE_S}s")
            except StoreUnavailable as error:
                is_busy = error.__cause__ is not None and sqlstate(error.__cause__) == LOCK_NOT_AVAILABLE
                if not is_busy or now() + pause_s > ends_at:
                    raise
            # Those who came meanwhile have their turn.
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 1.0)

    async def _call(self, query: str, *parameters: object) -> bool:
        async with self._connections.lease() as connection:
            try:
                async with asyncio.timeout(self._timeout_s):
                    statement = query.replace("{schema}", self._target.quoted_schema)
                    done: bool = await connection.fetchval(statement, *parameters)
            except DRIVER_ERRORS as error:
                if is_certain(error):
                    raise unavailable(error, self._target.url) from error
                raise InDoubt(
                    f"{self._target.url}: it is not certain whether builds were changed ({told(error)})"
                ) from error
        return done


async def create(
    connection: Connection, target: Target, wanted: Sequence[ViewTable], state: State | None, since: datetime | None
) -> None:
    """Makes those tables that are not there, unless there is no state for them, and procedures anew that are of an
    earlier release; raises the driver's errors."""
    async with connection.transaction(isolation="read_committed"):
        await create_in(connection, target, wanted, state, since)


async def create_in(
    connection: Connection, target: Target, wanted: Sequence[ViewTable], state: State | None, since: datetime | None
) -> bool:
    """As `create`, in the transaction under way; returns whether a table was made."""
    # Whoever comes second finds the work done.
    await connection.execute(MIGRATION_LOCK, target.schema)
    rows = await connection.fetch(BUILDS.replace("{schema}", target.quoted_schema))
    held, forms = tables_of(rows), forms_of(rows)
    is_made = False
    for table in {table.place: table for table in wanted}.values():
        form = forms.get(table.place)
        if form is None and state is None:
            continue
        if form is None:
            key = await connection.fetchval(NEXT_KEY.replace("{schema}", target.quoted_schema))
            made = Table(key, table.indexes).create()
            await connection.execute(made.replace("{schema}", target.quoted_schema))
            row = (key, *table.place, as_texts(table.indexes), state, _micros(since))
            await connection.execute(CREATE_PROJECTION.replace("{schema}", target.quoted_schema), *row)
            is_made = True
        elif form != COMMIT_FORM:
            renewed = held[table.place].renew_procedure()
            await connection.execute(renewed.replace("{schema}", target.quoted_schema))
    return is_made


def build_of(row: Sequence[Any]) -> Build:
    """A build from its row in `BUILDS`."""
    projection, version, build, indexes, _, _, state, since, standing, *checkpoint = row
    return Build(
        ViewTable(projection, version, from_texts(indexes), build),
        Checkpoint(*checkpoint),
        state,
        None if since is None else _EPOCH + since * _MICROSECOND,
        None if standing is None else msgspec.json.decode(standing, type=Standing),
    )


def tables_of(rows: Sequence[Any]) -> dict[tuple[str, int, int], Table]:
    """By place, what statements are made of."""
    return {(row[0], row[1], row[2]): Table(row[4], from_texts(row[3])) for row in rows}


def forms_of(rows: Sequence[Any]) -> dict[tuple[str, int, int], int]:
    """By place, the form of the procedure that commits views."""
    return {(row[0], row[1], row[2]): row[5] for row in rows}


def checkpoints_of(rows: Sequence[Any], wanted: Sequence[ViewTable]) -> dict[ViewTable, Checkpoint]:
    """Of those tables that are there, however they are indexed."""
    found = {(row[0], row[1], row[2]): Checkpoint(*row[-4:]) for row in rows}
    return {table: found[table.place] for table in wanted if table.place in found}


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND
