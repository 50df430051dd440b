"""Builds in SQLite: the tables that there are, which of them answers, and how one goes.

What is dropped is out of sight at once, in one transaction. Its rows go afterwards and bit by bit: to drop a table of a
million of them takes SQLite two seconds, in which nobody's views could be committed.
"""

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import msgspec

from adapters.sqlite.view_schema import Table, named_table, next_key, quoted, table_of
from bus.core.builds import ANSWERING, REPLACED, Build, Standing, State, answering
from bus.core.projection import Index
from bus.core.stored import Checkpoint, ViewTable, as_texts, from_texts

Place: TypeAlias = tuple[str, int, int]
"""Projection, version and build."""

Tables: TypeAlias = dict[Place, Table]

ROWS_AT_ONCE: Final = 2_000
"""A few milliseconds' work."""

_TABLES = "SELECT projection, version, build, projection_key, view_table, indexes FROM projections"
_BUILDS = """
SELECT projection, version, build, indexes, state, since, standing, position, store_id, stream, stream_version
FROM projections LEFT JOIN standings USING (projection_key) ORDER BY projection, version, build
"""
_CREATE = "INSERT INTO projections VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, '', '', 0)"
_PLACE = "projection = ? AND version = ? AND build = ?"
_KEY = f"SELECT projection_key, view_table FROM projections WHERE {_PLACE}"
_STATE = f"SELECT state, position FROM projections WHERE {_PLACE}"
_ANSWERING = f"SELECT projection, version, build FROM projections WHERE projection = ? AND state = '{ANSWERING}'"
_CHANGE_STATE = f"UPDATE projections SET state = ?, since = ? WHERE {_PLACE}"
_TELL = f"INSERT OR REPLACE INTO standings SELECT projection_key, ? FROM projections WHERE {_PLACE}"
_FORGET = (
    "DELETE FROM projections WHERE projection_key = ?",
    "DELETE FROM letters WHERE projection_key = ?",
    "DELETE FROM standings WHERE projection_key = ?",
)
_INDEXES = "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL LIMIT 1"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def find_tables(connection: sqlite3.Connection, known: Mapping[Place, tuple[Index, ...]]) -> Tables:
    """All that there are; `known` are indexes as they were declared, for those that are kept like that."""
    tables: Tables = {}
    for name, version, build, key, view_table, text in connection.execute(_TABLES).fetchall():
        place = name, version, build
        declared = known.get(place)
        indexes = declared if declared is not None and _text_of(declared) == text else _indexes_of(text)
        tables[place] = named_table(key, view_table, indexes)
    return tables


def find_builds(connection: sqlite3.Connection) -> list[Build]:
    """See the port."""
    return [
        Build(
            ViewTable(projection, version, _indexes_of(indexes), build),
            Checkpoint(*checkpoint),
            state,
            None if since is None else _EPOCH + since * _MICROSECOND,
            None if standing is None else msgspec.json.decode(standing, type=Standing),
        )
        for projection, version, build, indexes, state, since, standing, *checkpoint in connection.execute(
            _BUILDS
        ).fetchall()
    ]


def key_of(connection: sqlite3.Connection, table: ViewTable) -> int | None:
    """The key of a table, None where there is none of that name, version and build."""
    row = connection.execute(_KEY, table.place).fetchone()
    return None if row is None else int(row[0])


def make(connection: sqlite3.Connection, table: ViewTable, state: State, since: datetime | None) -> None:
    """Makes room for a table that is not there."""
    made = table_of(next_key(connection), table)
    for statement in made.create():
        connection.execute(statement)
    row = (made.key, *table.place, state, _micros(since), made.name, _text_of(table.indexes))
    connection.execute(_CREATE, row)


def switch(connection: sqlite3.Connection, table: ViewTable, over: ViewTable, since: datetime) -> bool:
    """See the port."""
    new = connection.execute(_STATE, table.place).fetchone()
    old = connection.execute(_STATE, over.place).fetchone()
    if new is None:
        return False
    if new[0] == ANSWERING and (old is None or old[0] == REPLACED):
        return True
    others = connection.execute(_ANSWERING, (table.projection,)).fetchall()
    if new[0] != ANSWERING and any(place != over.place for place in others):
        return False
    if old is not None:
        if old[0] != ANSWERING or old[1] > new[1]:
            return False
        connection.execute(_CHANGE_STATE, (REPLACED, _micros(since), *over.place))
    connection.execute(_CHANGE_STATE, (ANSWERING, _micros(since), *table.place))
    return True


def drop(connection: sqlite3.Connection, table: ViewTable) -> bool:
    """See the port; what is in the table is left to `clear_some`."""
    found = connection.execute(_KEY, table.place).fetchone()
    if found is None:
        return True
    key, view_table = found
    current = answering([one for one in find_builds(connection) if one.table.projection == table.projection])
    if current is not None and current.table.place == table.place:
        return False
    for statement in _FORGET:
        connection.execute(statement, (key,))
    connection.execute("INSERT INTO dropped VALUES (?)", (view_table,))
    return True


def clear_some(connection: sqlite3.Connection) -> bool:
    """Removes a part of what was dropped, an index or some rows; False where there is nothing left to do.

    The indexes go first: with them each row would take pages from all over the file with it.
    """
    # Read to the end, since SQLite drops nothing while a statement is open.
    dropped = connection.execute("SELECT view_table FROM dropped LIMIT 1").fetchall()
    if not dropped:
        return False
    name: str = dropped[0][0]
    indexes = connection.execute(_INDEXES, (name,)).fetchall()
    if indexes:
        connection.execute(_drop_index(indexes[0][0]))
    elif connection.execute(_delete_some(name), (ROWS_AT_ONCE,)).rowcount < ROWS_AT_ONCE:
        connection.execute(_drop_table(name))
        connection.execute("DELETE FROM dropped WHERE view_table = ?", (name,))
    return True


def _drop_index(name: str) -> str:
    return f"DROP INDEX {quoted(name)}"


def _drop_table(name: str) -> str:
    return f"DROP TABLE {quoted(name)}"


def _delete_some(name: str) -> str:
    return f"DELETE FROM {quoted(name)} WHERE key IN (SELECT key FROM {quoted(name)} ORDER BY key LIMIT ?)"


def tell(connection: sqlite3.Connection, table: ViewTable, standing: Standing) -> None:
    """Keeps it in place of the one before; of a table that is not there, nothing."""
    connection.execute(_TELL, (msgspec.json.encode(standing).decode(), *table.place))


def _text_of(indexes: tuple[Index, ...]) -> str:
    return msgspec.json.encode(as_texts(indexes)).decode()


def _indexes_of(text: str) -> tuple[Index, ...]:
    return from_texts(msgspec.json.decode(text, type=list[str]))


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND
