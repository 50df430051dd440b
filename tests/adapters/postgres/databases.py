"""What tests look at in databases, past the stores."""

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
