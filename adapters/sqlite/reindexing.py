"""Reindexing in SQLite: views move to a table with other indexes, all of them in one transaction."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec

from adapters.sqlite.errors import DATA_ERRORS
from adapters.sqlite.transaction import transaction
from adapters.sqlite.view_schema import MOVE_LETTERS, MOVE_STANDING, MOVE_TABLE, Table, next_key, quoted, table_of
from bus.core.projection import IndexValue
from bus.core.stored import StoredView, ViewTable, as_texts, not_indexable, view_fault


def reindex(
    connection: sqlite3.Connection,
    held: Table,
    table: ViewTable,
    values_of: Callable[[bytes], tuple[IndexValue, ...]],
    *,
    views_max: int,
    url: str,
) -> Table:
    """The new table; the old one is there until the moment in which the new one is.

    It has another name, so that no statement made for the one can ever read or write the other.
    """
    with transaction(connection, url):
        made = table_of(next_key(connection), table)
        create_table, *create_indexes = made.create()
        connection.execute(create_table)
        with closing(connection.execute(f"SELECT key, payload FROM {quoted(held.name)} ORDER BY key")) as rows:
            while page := rows.fetchmany(views_max):
                values: list[Any] = []
                for key, payload in page:
                    view = StoredView(key, payload, values_of(payload))
                    if (fault := view_fault(view)) is not None:
                        raise not_indexable(table, key, f"it is {fault}", url)
                    values += (key, payload, *view.index_values)
                try:
                    made.put.run(connection, values)
                except DATA_ERRORS as error:
                    why = f"it or one of the {len(page)} views from there: {error}"
                    raise not_indexable(table, page[0][0], why, url) from error
        # Sorted once, which is faster than finding a place for each.
        for statement in create_indexes:
            connection.execute(statement)
        connection.execute(f"DROP TABLE {quoted(held.name)}")
        indexes = msgspec.json.encode(as_texts(table.indexes)).decode()
        connection.execute(MOVE_TABLE, (made.key, made.name, indexes, held.key))
        connection.execute(MOVE_LETTERS, (made.key, held.key))
        connection.execute(MOVE_STANDING, (made.key, held.key))
    return made
