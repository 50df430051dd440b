"""Snapshots in the event store: the latest state of a stream, beside its events."""

import sqlite3
from collections.abc import Mapping, Sequence

import aiosqlite
import msgspec

from adapters.sqlite.readers import rows
from adapters.sqlite.transaction import transaction
from bus.core.stored import Snapshot, text_fault

SNAPSHOTS = """
SELECT s.name, n.version, n.format, n.payload FROM json_each(?) w CROSS JOIN streams s ON s.name = w.key
CROSS JOIN snapshots n ON n.stream_key = s.stream_key AND n.format = w.value
"""

# Whoever comes late with an earlier state of the same format changes nothing.
_SAVE = """
INSERT INTO snapshots(stream_key, version, format, payload) SELECT stream_key, ?, ?, ? FROM streams WHERE name = ?
ON CONFLICT (stream_key) DO UPDATE SET version = excluded.version, format = excluded.format, payload = excluded.payload
WHERE excluded.version >= version OR excluded.format <> format
"""


def save_snapshots(connection: sqlite3.Connection, url: str, snapshots: Sequence[Snapshot]) -> None:
    """In one transaction; raises `StoreUnavailable`, `CommitInDoubt`, or what the driver says of values too large."""
    values = [(one.version, one.format, one.payload, one.stream) for one in snapshots if text_fault(one.stream) is None]
    with transaction(connection, url):
        connection.executemany(_SAVE, values)


async def find_snapshots(
    connection: aiosqlite.Connection, formats: Mapping[str, str], after: Mapping[str, int]
) -> dict[str, Snapshot]:
    """By stream, those of the formats wanted that are later than the versions given."""
    wanted = {stream: form for stream, form in formats.items() if text_fault(stream) is None}
    found = [Snapshot(*row) for row in await rows(connection, SNAPSHOTS, (msgspec.json.encode(wanted).decode(),))]
    return {one.stream: one for one in found if one.version > after[one.stream]}
