"""What tests look at in databases, past the stores."""

from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg

from adapters.postgres.urls import DEFAULT_SCHEMA


def schema_of(url: str) -> str:
    return parse_qs(urlsplit(url).query).get("schema", [DEFAULT_SCHEMA])[0]


def as_role(url: str, role: str) -> str:
    """The same place, by another role."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}"))


async def recorded(url: str) -> list[tuple[int, str, int, str]]:
    """Position, stream, version and command id of every event, by a session of its own."""
    connection = await asyncpg.connect(url.partition("?")[0])
    try:
        query = f"SELECT position, stream, version, command_id FROM {schema_of(url)}.events ORDER BY position"
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


def check_log(rows: list[tuple[int, str, int, str]]) -> None:
    """Positions and versions without gap or double; each command once (in these tests it records one event)."""
    assert [position for position, *_ in rows] == list(range(1, len(rows) + 1))
    reached: dict[str, int] = {}
    for _, stream, version, _ in rows:
        assert version == reached.get(stream, 0) + 1
        reached[stream] = version
    commands = [command_id for *_, command_id in rows]
    assert len(commands) == len(set(commands))


async def execute(url: str, statements: str) -> None:
    """Runs statements that have `{schema}` for the quoted name of the schema, as one transaction."""
    connection = await asyncpg.connect(url.partition("?")[0])
    try:
        await connection.execute(statements.replace("{schema}", f'"{schema_of(url)}"'))
    finally:
        await connection.close()


async def fetched(url: str, query: str) -> list[tuple[Any, ...]]:
    """All rows of a query on tables of the schema, by a session of its own."""
    connection = await asyncpg.connect(url.partition("?")[0], server_settings={"search_path": schema_of(url)})
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


TABLES = """
SELECT c.relkind, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, l.collname,
       pg_get_expr(d.adbin, d.adrelid)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = $1::regnamespace AND c.relkind <> 'i' AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = $1::regnamespace ORDER BY 1, 2
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = $1 ORDER BY 1"
ROUTINES = "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = $1::regnamespace ORDER BY 1"
TRIGGERS = """
SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = $1::regnamespace ORDER BY 1
"""


async def described(url: str) -> list[tuple[str, ...]]:
    """What is in a schema besides rows: columns, constraints, indexes and procedures, without the schema's name."""
    schema = schema_of(url)
    connection = await asyncpg.connect(url.partition("?")[0])
    try:
        return [
            tuple([str(value).replace(f'"{schema}"', "SCHEMA").replace(schema, "SCHEMA") for value in row])
            for query in (TABLES, CONSTRAINTS, INDEXES, ROUTINES, TRIGGERS)
            for row in await connection.fetch(query, schema)
        ]
    finally:
        await connection.close()
