"""The tables of the event store, each column with its law, and the queries that read them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.sqlite.database import Layout
from bus.core.stored import StoredEvent

LAYOUT = Layout(
    noun="event store",
    application_id=0x44424576,  # "DBEv"
    migrations=(
        """
CREATE TABLE streams(
    stream_key INTEGER PRIMARY KEY, -- 1, 2, 3, ...; a short name for the stream, in this file only
    name TEXT NOT NULL UNIQUE       -- category, '-', the aggregate's id
) STRICT;

CREATE TABLE events(
    position INTEGER PRIMARY KEY,     -- 1, 2, 3, ... over the whole store, in commit order, without gap
    stream_key INTEGER NOT NULL REFERENCES streams, -- the stream; an event never changes and never leaves it
    version INTEGER NOT NULL,         -- 1, 2, 3, ... within the stream, without gap
    name TEXT NOT NULL,               -- the stored name of the event's type
    payload BLOB NOT NULL,            -- the encoded event, as the bus gave it
    recorded_at INTEGER NOT NULL,     -- microseconds since 1970 in UTC, by the clock of the writer; may go back
    command_id TEXT NOT NULL,         -- the command that recorded it; all of a command's events follow each other
    command_ordinal INTEGER NOT NULL, -- 0 for the first event of its command, then 1, 2, 3, ...
    fingerprint BLOB NOT NULL,        -- a digest of the command, to tell a repeated one from a reused id
    correlation_id TEXT,              -- the conversation; NULL where it is the command's own id
    causation_id TEXT,                -- what directly caused the command; NULL for nothing known
    traceparent TEXT,                 -- the W3C trace context of the sender; NULL for none
    UNIQUE (stream_key, version)      -- two writers that decided on the same version cannot both be recorded
) STRICT;

-- A command is recorded once.
CREATE UNIQUE INDEX events_by_command ON events(command_id) WHERE command_ordinal = 0;
""",
    ),
)

COLUMNS = (
    "position, stream_key, version, name, payload, recorded_at, "
    "command_id, command_ordinal, fingerprint, correlation_id, causation_id, traceparent"
)
WIDTH = 12

_STORED = (
    "e.position, s.name, e.version, e.name, e.payload, e.recorded_at, "
    "e.command_id, e.fingerprint, e.correlation_id, e.causation_id, e.traceparent"
)

HEAD = "SELECT coalesce(max(position), 0) FROM events"

PAGE = f"""
SELECT {_STORED} FROM events e CROSS JOIN streams s USING (stream_key)
WHERE e.position > ? ORDER BY e.position LIMIT ?
"""

# SQLite does not reorder a CROSS JOIN: for each stream wanted, its events in the order of the index on versions. So
# the rows come as they are needed without a sort, which would read all of them before the first.
STREAM_PAGES = f"""
SELECT {_STORED} FROM json_each(?) w CROSS JOIN streams s ON s.name = w.key
CROSS JOIN events e ON e.stream_key = s.stream_key AND e.version > w.value
LIMIT ?
"""

HISTORIES = """
SELECT s.name, e.name, e.payload FROM json_each(?) w CROSS JOIN streams s ON s.name = w.key
CROSS JOIN events e ON e.stream_key = s.stream_key AND e.version > w.value
LIMIT ?
"""

# The same for one stream, whose rows are then the events themselves.
HISTORY = """
SELECT e.name, e.payload FROM events e
WHERE e.stream_key = (SELECT stream_key FROM streams WHERE name = ?) AND e.version > ? ORDER BY e.version LIMIT ?
"""

STREAM_HEADS = """
SELECT s.name, s.stream_key, (SELECT coalesce(max(version), 0) FROM events e WHERE e.stream_key = s.stream_key)
FROM json_each(?) w CROSS JOIN streams s ON s.name = w.value
"""

# A command's events follow each other, so each leads to the next.
COMMANDS = f"""
WITH RECURSIVE own(position, command_id) AS (
    SELECT e.position, e.command_id FROM json_each(?) w CROSS JOIN events e ON e.command_id = w.value
    WHERE e.command_ordinal = 0
    UNION ALL
    SELECT e.position, e.command_id FROM own CROSS JOIN events e ON e.position = own.position + 1
    WHERE e.command_id = own.command_id
)
SELECT {_STORED} FROM own CROSS JOIN events e USING (position) CROSS JOIN streams s USING (stream_key)
ORDER BY e.position
"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(moment: datetime) -> int:
    """A time with a zone, as the tables hold it."""
    return (moment - _EPOCH) // _MICROSECOND


def _moment(microseconds: int) -> datetime:
    """The time; the nearest that there is where the file was damaged, so that the event itself can be read."""
    try:
        return _EPOCH + microseconds * _MICROSECOND
    except OverflowError:
        return (datetime.min if microseconds < 0 else datetime.max).replace(tzinfo=UTC)


def stored_events(rows: Iterable[tuple[Any, ...]]) -> list[StoredEvent]:
    """Rows of the queries above as the bus sees them."""
    found: list[StoredEvent] = []
    last, moment = 0, _EPOCH
    for position, stream, version, name, payload, recorded_at, command, fingerprint, talk, cause, trace in rows:
        # The events of one append have the same time.
        if recorded_at != last:
            last, moment = recorded_at, _moment(recorded_at)
        found.append(
            StoredEvent(position, stream, version, name, payload, moment, command, fingerprint, talk, cause, trace)
        )
    return found
