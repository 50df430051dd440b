"""The tables of the event store, each column with its law, and the queries that read them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from adapters.sqlite.header import Layout
from bus.core.stored import StoredEvent

LAYOUT = Layout(
    noun="event store",
    application_id=0x44424576,  # "DBEv"
    is_original=True,
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
        """
CREATE TABLE names(
    name TEXT PRIMARY KEY,  -- a stored name that events have: kept by appends, since to look for it is to read all
    category TEXT NOT NULL  -- the category of the stream of the first such event
) WITHOUT ROWID, STRICT;

CREATE TABLE snapshots(
    stream_key INTEGER PRIMARY KEY REFERENCES streams, -- each stream has one at most, the latest
    version INTEGER NOT NULL,   -- the version of the stream whose state it is
    format TEXT NOT NULL,       -- what the state must look like to whoever reads it; of another format it is ignored
    payload BLOB NOT NULL       -- the encoded state, as the bus gave it
) STRICT;

-- The only reading of all events, once.
INSERT OR IGNORE INTO names SELECT e.name, substr(s.name, 1, instr(s.name || '-', '-') - 1)
FROM events e CROSS JOIN streams s USING (stream_key) ORDER BY e.position;
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

NAMES = "SELECT name, category FROM names"

# In a file of the first schema, which who only reads it may not bring up to date.
NAMES_BEFORE_2 = """
SELECT DISTINCT e.name, substr(s.name, 1, instr(s.name || '-', '-') - 1)
FROM events e CROSS JOIN streams s USING (stream_key)
"""

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


class NoText(str):
    """A text that is none, as far as it can be read: a damaged file holds bytes in it that are no UTF-8."""


def stored_events(rows: Iterable[tuple[Any, ...]], *, mended: bool = False) -> list[StoredEvent]:
    """Rows of the queries above as the bus sees them; `mended` says that some may hold a `NoText`."""
    found: list[StoredEvent] = []
    last, moment, fault = 0, _EPOCH, None
    for position, stream, version, name, payload, recorded_at, command, fingerprint, talk, cause, trace in rows:
        # The events of one append have the same time.
        if recorded_at != last:
            last = recorded_at
            moment, fault = _to_time(recorded_at)
        event = StoredEvent(
            position, stream, version, name, payload, moment, command, fingerprint, talk, cause, trace, fault
        )
        if mended and any(isinstance(text, NoText) for text in (stream, name, command, talk, cause, trace)):
            event = msgspec.structs.replace(event, fault="a text in its row is no UTF-8")
        found.append(event)
    return found


def _to_time(microseconds: int) -> tuple[datetime, str | None]:
    """The time, and what is wrong with it."""
    try:
        return _EPOCH + microseconds * _MICROSECOND, None
    except (OverflowError, TypeError):
        return _EPOCH, f"the time in its row, {microseconds!r}, is none"
