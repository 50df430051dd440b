"""What PostgreSQL itself can do: the rows that the bus would record, by asyncpg alone; later changes leave it alone."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import asyncpg

from bench.limits import RECORDED_AT, Row

Columns: TypeAlias = tuple[Any, ...]

CREATE: Final = """
CREATE SCHEMA {schema};
CREATE TABLE {schema}.events(
    position bigint PRIMARY KEY,
    stream text COLLATE "C" NOT NULL, version bigint NOT NULL, name text NOT NULL, payload bytea NOT NULL,
    recorded_at bigint NOT NULL, command_id text COLLATE "C" NOT NULL, command_ordinal integer NOT NULL,
    fingerprint bytea NOT NULL, correlation_id text, causation_id text, traceparent text,
    UNIQUE (stream, version), UNIQUE (command_id, command_ordinal)
)
"""

UNNEST: Final = """
INSERT INTO {schema}.events
SELECT $1 + n, s, v, na, p, r, c, 0, f, NULL, NULL, NULL
FROM unnest($2::text[], $3::bigint[], $4::text[], $5::bytea[], $6::bigint[], $7::text[], $8::bytea[])
    WITH ORDINALITY AS given(s, v, na, p, r, c, f, n)
"""

LOCKED: Final = "SELECT pg_advisory_xact_lock(1)"


class RawPostgres:
    """The plain form of an event store: one table, unique by stream and version and by command id, durable commits.

    It reads no head, takes no lock and checks nothing: positions are the caller's. (That a sequence gave them out
    would cost it more, and skip some.)
    """

    def __init__(self, url: str, schema: str) -> None:
        self._url = url
        self._schema = schema
        self._unnest = UNNEST.replace("{schema}", schema)

    async def create(self) -> None:
        connection = await asyncpg.connect(self._url)
        await connection.execute(CREATE.replace("{schema}", self._schema))
        await connection.close()

    async def insert_all(self, rows: Sequence[Row], rows_per_transaction: int, after: int) -> float:
        """All rows, each transaction one statement of arrays; returns seconds."""
        starts = range(0, len(rows), rows_per_transaction)
        batches = [columns(rows[start : start + rows_per_transaction]) for start in starts]
        connection = await asyncpg.connect(self._url)
        begin = time.perf_counter()
        for start, batch in zip(starts, batches, strict=True):
            await connection.execute(self._unnest, after + start, *batch)
        seconds = time.perf_counter() - begin
        await connection.close()
        return seconds

    async def insert_each(self, rows: Sequence[Row], after: int) -> list[float]:
        """Each row in a transaction of its own; returns the seconds that each took."""
        connection = await asyncpg.connect(self._url)
        statement = await connection.prepare(self._unnest)
        took: list[float] = []
        for place, row in enumerate(rows):
            given = columns([row])
            begin = time.perf_counter()
            await statement.fetch(after + place, *given)
            took.append(time.perf_counter() - begin)
        await connection.close()
        return took

    async def copy_all(self, rows: Sequence[Row], rows_per_transaction: int, after: int) -> float:
        """All rows, each transaction one COPY; returns seconds."""
        starts = range(0, len(rows), rows_per_transaction)
        batches = [records(rows[start : start + rows_per_transaction], after + start) for start in starts]
        connection = await asyncpg.connect(self._url)
        begin = time.perf_counter()
        for batch in batches:
            await connection.copy_records_to_table("events", schema_name=self._schema, records=batch)
        seconds = time.perf_counter() - begin
        await connection.close()
        return seconds

    async def insert_together(
        self, rows: Sequence[Row], rows_per_transaction: int, connections: int, *, locked: bool
    ) -> float:
        """All rows from several connections, each with its share of the positions; returns seconds.

        `locked` takes one advisory lock for each transaction, as whoever gives out positions without gaps must.
        """
        starts = range(0, len(rows), rows_per_transaction)
        batches = [(start, columns(rows[start : start + rows_per_transaction])) for start in starts]
        open_connections = [await asyncpg.connect(self._url) for _ in range(connections)]

        async def writer(connection: Any, own: Sequence[tuple[int, Columns]]) -> None:
            for start, batch in own:
                if locked:
                    async with connection.transaction():
                        await connection.execute(LOCKED)
                        await connection.execute(self._unnest, start, *batch)
                else:
                    async with connection.transaction():
                        await connection.execute("SELECT 1")
                        await connection.execute(self._unnest, start, *batch)

        begin = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, connection in enumerate(open_connections):
                group.create_task(writer(connection, batches[number::connections]))
        seconds = time.perf_counter() - begin
        for connection in open_connections:
            await connection.close()
        return seconds


def columns(rows: Sequence[Row]) -> Columns:
    """As the statement of arrays takes them: stream, version, name, payload, time, command id, fingerprint."""
    return tuple([list(column) for column in zip(*rows, strict=True)])


def records(rows: Sequence[Row], after: int) -> list[tuple[Any, ...]]:
    """As COPY takes them."""
    return [
        (after + place, stream, version, name, payload, RECORDED_AT, command_id, 0, fingerprint, None, None, None)
        for place, (stream, version, name, payload, _, command_id, fingerprint) in enumerate(rows, 1)
    ]
