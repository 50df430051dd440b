"""Snapshots of aggregates, beside their events: kept one for each stream, and found by the format wanted."""

from collections.abc import Mapping, Sequence

from adapters.postgres.connections import Connection
from bus.core.stored import Snapshot, text_fault

SAVE = """
INSERT INTO {schema}.snapshots AS held
SELECT given.* FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bytea[]) AS given(stream, version, format, payload)
WHERE (SELECT e.version FROM {schema}.events e WHERE e.stream = given.stream AND e.version = 1) IS NOT NULL
ON CONFLICT (stream) DO UPDATE SET version = excluded.version, format = excluded.format, payload = excluded.payload
WHERE held.format <> excluded.format OR held.version <= excluded.version
"""

FIND = """
SELECT s.stream, s.version, s.format, s.payload
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS wanted(stream, format, version) CROSS JOIN LATERAL (
    SELECT * FROM {schema}.snapshots own WHERE own.stream = wanted.stream LIMIT 1
) AS s WHERE s.format = wanted.format AND s.version > wanted.version
"""


async def save_snapshots(connection: Connection, query: str, snapshots: Sequence[Snapshot]) -> None:
    """By `SAVE`; raises the driver's errors."""
    # In one order, so that two processes that save the same streams do not wait for each other.
    sound = sorted([one for one in snapshots if text_fault(one.stream) is None], key=lambda one: one.stream)
    await connection.execute(
        query,
        [one.stream for one in sound],
        [one.version for one in sound],
        [one.format for one in sound],
        [one.payload for one in sound],
    )


async def find_snapshots(
    connection: Connection, query: str, wanted: Mapping[str, str], after: Mapping[str, int]
) -> dict[str, Snapshot]:
    """By `FIND`: those of the formats wanted that are later than the versions given; raises the driver's errors."""
    sound = [stream for stream in wanted if text_fault(stream) is None and text_fault(wanted[stream]) is None]
    formats, versions = [wanted[stream] for stream in sound], [after[stream] for stream in sound]
    return {row[0]: Snapshot(*row) for row in await connection.fetch(query, sound, formats, versions)}
