"""What PostgreSQL itself can do: a bare loop of upserts by asyncpg alone, into a table like that of the views."""

import time
from collections.abc import Sequence
from typing import Final, TypeAlias

import asyncpg

from bench.measure import frozen_heap

UpsertRow: TypeAlias = tuple[str, bytes, int]
"""Key, payload and indexed value."""

_CREATE: Final = """
DROP SCHEMA IF EXISTS raw_upserts CASCADE;
CREATE SCHEMA raw_upserts;
CREATE TABLE raw_upserts.views(key text COLLATE "C" PRIMARY KEY, payload bytea NOT NULL, balance bigint NOT NULL);
CREATE INDEX ON raw_upserts.views(balance, key);
CREATE TABLE raw_upserts.checkpoints(position bigint NOT NULL);
INSERT INTO raw_upserts.checkpoints VALUES (0);
"""

_CHANGE: Final = "ON CONFLICT (key) DO UPDATE SET payload = excluded.payload, balance = excluded.balance"
_EACH: Final = f"INSERT INTO raw_upserts.views VALUES ($1, $2, $3) {_CHANGE}"
_TOGETHER: Final = (
    f"INSERT INTO raw_upserts.views SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[]) {_CHANGE}"
)
_MOVE: Final = "UPDATE raw_upserts.checkpoints SET position = $1"


class RawUpserts:
    """`together` has each transaction change its rows in one statement of arrays, which may name each key only once."""

    def __init__(self, url: str, *, together: bool) -> None:
        self._url = url
        self._together = together

    async def run(self, rows: Sequence[UpsertRow], rows_per_transaction: int) -> float:
        """All rows, in order, into new tables; returns seconds."""
        connection = await asyncpg.connect(self._url)
        await connection.execute(_CREATE)
        starts = range(0, len(rows), rows_per_transaction)
        batches = [rows[start : start + rows_per_transaction] for start in starts]
        columns = [[list(column) for column in zip(*batch, strict=True)] for batch in batches if self._together]
        with frozen_heap():
            begin = time.perf_counter()
            for place, start in enumerate(starts):
                async with connection.transaction():
                    if self._together:
                        await connection.execute(_TOGETHER, *columns[place])
                    else:
                        await connection.executemany(_EACH, batches[place])
                    await connection.execute(_MOVE, start)
            seconds = time.perf_counter() - begin
        await connection.close()
        return seconds
