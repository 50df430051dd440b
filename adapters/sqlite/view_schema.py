"""The tables of the view store, each column with its law, and the statements on them."""

import sqlite3
from dataclasses import dataclass

from adapters.sqlite.header import Layout
from adapters.sqlite.transaction import ManyRows
from bus.core.projection import Index, fields_of
from bus.core.stored import Checkpoint, ViewTable

LAYOUT = Layout(
    noun="view store",
    application_id=0x44425677,  # "DBVw"
    is_original=False,
    migrations=(
        """
CREATE TABLE projections(
    projection_key INTEGER PRIMARY KEY,
    projection TEXT NOT NULL,    -- the projection's name
    version INTEGER NOT NULL,    -- and its version, which has a table of its own
    view_table TEXT NOT NULL,    -- the table with its views: one row each, found by key
    indexes TEXT NOT NULL,       -- JSON array: the names of the indexed fields, in the order of their columns
    position INTEGER NOT NULL,   -- the last position that is in the views; changes in their transaction only
    store_id TEXT NOT NULL,      -- the identity of the event store that it counts in; '' before the first event
    stream TEXT NOT NULL,        -- the stream of the event at that position, and its version there: what tells
    stream_version INTEGER NOT NULL, -- a store that was restored or replaced from the one that was read
    UNIQUE (projection, version)
) STRICT;
""",
        """
CREATE TABLE letters(
    projection_key INTEGER NOT NULL,
    position INTEGER NOT NULL,       -- of an event that this key of the projection has not seen
    key TEXT NOT NULL,
    stream TEXT NOT NULL,
    stream_version INTEGER NOT NULL,
    name TEXT NOT NULL,              -- the event's stored name
    error TEXT,                      -- why it failed; NULL where it waits behind another one of its key
    attempts INTEGER NOT NULL,
    first_at INTEGER NOT NULL,       -- microseconds since 1970 in UTC, like the next
    last_at INTEGER NOT NULL,
    trace_id TEXT,
    PRIMARY KEY (projection_key, position, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX letters_by_key ON letters(projection_key, key, position);

CREATE TABLE requests(
    request_key INTEGER PRIMARY KEY, -- in the order asked
    id TEXT NOT NULL UNIQUE,
    is_open INTEGER NOT NULL,        -- 1 until somebody has answered it
    request TEXT NOT NULL            -- all of it, as JSON
) STRICT;
CREATE INDEX requests_that_are_open ON requests(request_key) WHERE is_open = 1;
""",
        """
ALTER TABLE projections RENAME TO projections_before;
CREATE TABLE projections(
    projection_key INTEGER PRIMARY KEY, -- never that of another table, also when this one is gone
    projection TEXT NOT NULL,    -- the projection's name
    version INTEGER NOT NULL,    -- and its version
    build INTEGER NOT NULL,      -- goes up each time that the views of a version are built anew, in another table
    state TEXT NOT NULL,         -- building, answering or replaced
    since INTEGER,               -- when it came into that state, in microseconds since 1970 in UTC; NULL for always
    view_table TEXT NOT NULL,    -- the table with its views: one row each, found by key
    indexes TEXT NOT NULL,       -- JSON array: the names of the indexed fields, in the order of their columns
    position INTEGER NOT NULL,   -- the last position that is in the views; changes in their transaction only
    store_id TEXT NOT NULL,      -- the identity of the event store that it counts in; '' before the first event
    stream TEXT NOT NULL,        -- the stream of the event at that position, and its version there: what tells
    stream_version INTEGER NOT NULL, -- a store that was restored or replaced from the one that was read
    UNIQUE (projection, version, build)
) STRICT;
INSERT INTO projections
SELECT projection_key, projection, version, 0, 'answering', NULL, view_table, indexes, position, store_id, stream,
       stream_version
FROM projections_before;
INSERT INTO meta SELECT 'last_projection_key', coalesce(max(projection_key), 0) FROM projections_before;
DROP TABLE projections_before;

CREATE TABLE standings(
    projection_key INTEGER PRIMARY KEY,
    standing TEXT NOT NULL       -- what was said of the table last, as JSON
) STRICT;

CREATE TABLE dropped(
    view_table TEXT PRIMARY KEY NOT NULL -- a table that nobody finds any more; its rows go bit by bit
) STRICT, WITHOUT ROWID;
""",
    ),
)

MOVE_TABLE = "UPDATE projections SET projection_key = ?, view_table = ?, indexes = ? WHERE projection_key = ?"
MOVE_LETTERS = "UPDATE letters SET projection_key = ? WHERE projection_key = ?"
MOVE_STANDING = "UPDATE standings SET projection_key = ? WHERE projection_key = ?"
CHECKPOINT = "SELECT position, store_id, stream, stream_version FROM projections WHERE projection_key = ?"
MOVE_CHECKPOINT = """
UPDATE projections SET position = ?, store_id = ?, stream = ?, stream_version = ?
WHERE projection_key = ? AND position = ? AND store_id = ? AND stream = ? AND stream_version = ?
"""


@dataclass(frozen=True)
class Table:
    """The views of one build of a projection version: where they are and the statements on them.

    Index columns have no declared type, so that numbers stay numbers and texts texts, and are called by their place
    too, since SQLite takes `a` and `A` for the same name.
    """

    key: int
    name: str
    indexes: tuple[Index, ...]
    fields: tuple[str, ...]
    """What has a column, in order."""
    put: ManyRows

    def create(self) -> list[str]:
        """The statements that make the table and its indexes, each of which ends in the key."""
        name = quoted(self.name)
        columns = "".join(f", {self.column(index)}" for index in self.fields)
        statements = [
            f"CREATE TABLE {name}(key TEXT PRIMARY KEY NOT NULL, payload BLOB NOT NULL{columns}) WITHOUT ROWID"
        ]
        for place, index in enumerate(self.indexes):
            fields = (index,) if isinstance(index, str) else index
            index_name = quoted(f"{self.name}_by_{place}_{'_'.join(fields)}")
            columns = ", ".join(self.column(field) for field in fields)
            statements.append(f"CREATE INDEX {index_name} ON {name}({columns}, key)")
        return statements

    def column(self, index: str) -> str:
        return quoted(f"by_{self.fields.index(index)}_{index}")

    def select(self, keys: int) -> str:
        return f"SELECT key, payload FROM {quoted(self.name)} WHERE key IN ({','.join('?' * keys)})"

    def load(self) -> str:
        """Takes keys as a JSON array, and gives one row: keys that were found, sizes and payloads, in the same order.

        The driver gives the interpreter's lock away for each row, and must win it back against a busy event loop.
        """
        return (
            "SELECT json_group_array(v.key), json_group_array(length(v.payload)), "
            f"CAST(group_concat(v.payload, '') AS BLOB) FROM json_each(?) w CROSS JOIN {quoted(self.name)} v "
            "ON v.key = w.value"
        )

    def delete(self, keys: int) -> str:
        return f"DELETE FROM {quoted(self.name)} WHERE key IN ({','.join('?' * keys)})"


def next_key(connection: sqlite3.Connection) -> int:
    """One that no table has or had, so that nothing which is kept of the one can ever be taken for the other's."""
    connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'last_projection_key'")
    (found,) = connection.execute("SELECT value FROM meta WHERE name = 'last_projection_key'").fetchone()
    return int(found)


def table_of(key: int, table: ViewTable) -> Table:
    """The table of a build, called after it for those who look into the file."""
    build = f"_b{table.build}" if table.build else ""
    return named_table(key, f"view_{key}_{table.projection}_v{table.version}{build}", table.indexes)


def named_table(key: int, name: str, indexes: tuple[Index, ...]) -> Table:
    """A table that exists."""
    fields = fields_of(indexes)
    columns = 2 + len(fields)
    return Table(key, name, indexes, fields, ManyRows(f"INSERT OR REPLACE INTO {quoted(name)}", columns))


def quoted(name: str) -> str:
    """An identifier in SQL, whatever it contains."""
    return '"' + name.replace('"', '""') + '"'


def checkpoint_columns(checkpoint: Checkpoint) -> tuple[object, ...]:
    """As the statements take them."""
    return (checkpoint.position, checkpoint.store_id, checkpoint.stream, checkpoint.version)
