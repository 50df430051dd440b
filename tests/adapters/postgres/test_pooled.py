"""The stores keep the laws of their ports behind a pooler that gives each transaction another session."""

import os
from collections.abc import Callable, Iterator
from uuid import uuid4

import anyio
import asyncpg
import pytest

from adapters.postgres import PostgresEventStore, PostgresViewStore
from bus import Bus, Limits
from tests.contracts.entries import NOON, entry, places
from tests.contracts.event_reading import EventReadingLaws
from tests.contracts.event_store import EventStoreLaws, NewStore
from tests.contracts.leases import LeaseLaws, NewPair
from tests.contracts.snapshots import SnapshotLaws
from tests.contracts.view_builds import SharedBuildLaws, ViewBuildLaws
from tests.contracts.view_store import NewViewStore, ViewStoreLaws
from tests.support.ledger import LEDGER, Deposit, GetJournal
from tests.support.pgbouncer import SESSIONS, PgBouncer, installed
from tests.support.postgres import GIVEN

PROGRAM = installed()

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="no pgbouncer on PATH: install it, by apt for one"),
    pytest.mark.skipif(GIVEN in os.environ, reason=f"a pooler in front of the server of {GIVEN} is its owner's affair"),
]


@pytest.fixture(scope="session")
def _poolers() -> Iterator[dict[str, PgBouncer]]:
    """By the URL of their server."""
    started: dict[str, PgBouncer] = {}
    yield started
    for pooler in started.values():
        pooler.__exit__()


@pytest.fixture
def pooled_url(_poolers: dict[str, PgBouncer], server_url: str) -> Callable[[], str]:
    """Makes URLs of schemas that are not there yet, by way of the pooler."""
    assert PROGRAM is not None
    if server_url not in _poolers:
        _poolers[server_url] = PgBouncer(PROGRAM, server_url).__enter__()
    return lambda: f"{_poolers[server_url].url}?pooled=yes&schema=test_{uuid4().hex}"


class TestPooledEventStore(EventStoreLaws, EventReadingLaws, SnapshotLaws):
    @pytest.fixture
    def new_store(self, pooled_url: Callable[[], str]) -> NewStore:
        return lambda: PostgresEventStore(pooled_url())


class TestPooledViewStore(ViewStoreLaws, ViewBuildLaws):
    @pytest.fixture
    def new_store(self, pooled_url: Callable[[], str]) -> NewViewStore:
        return lambda: PostgresViewStore(pooled_url())


class TestPooledLeases(LeaseLaws, SharedBuildLaws):
    @pytest.fixture
    def new_pair(self, pooled_url: Callable[[], str]) -> NewPair:
        def pair() -> tuple[PostgresViewStore, PostgresViewStore]:
            url = pooled_url()
            return PostgresViewStore(url), PostgresViewStore(url)

        return pair


async def test_the_pooler_gives_each_transaction_another_session(pooled_url: Callable[[], str]) -> None:
    connection = await asyncpg.connect(pooled_url().partition("?")[0], statement_cache_size=0)
    sessions = {await connection.fetchval("SELECT pg_backend_pid()") for _ in range(20)}
    others = [await asyncpg.connect(pooled_url().partition("?")[0], statement_cache_size=0) for _ in range(SESSIONS)]
    # As many sessions as clients that are at work at the same time, and then each has its turn.
    async with anyio.create_task_group() as group:
        for other in others:
            group.start_soon(other.execute, "SELECT pg_sleep(0.05)")
    sessions |= {await connection.fetchval("SELECT pg_backend_pid()") for _ in range(20)}
    for one in (connection, *others):
        await one.close()
    assert len(sessions) == SESSIONS


async def test_many_stores_on_few_sessions_get_each_its_own(pooled_url: Callable[[], str]) -> None:
    async def use(name: str) -> None:
        async with PostgresEventStore(pooled_url()) as store:
            for version in range(20):
                assert not (await store.append([entry(name, version, f"{name} {version}")], NOON)).refused
                assert (await store.page(version, 9))[0].stream == name
            assert places(await store.page(0, 99)) == [(version, name, version) for version in range(1, 21)]

    async with anyio.create_task_group() as group:
        for number in range(4 * SESSIONS):
            group.start_soon(use, f"a-{number}")


async def test_a_bus_shows_what_another_one_recorded(pooled_url: Callable[[], str]) -> None:
    url, limits = pooled_url(), Limits(poll_interval_s=0.02)
    one = Bus(LEDGER, event_store=PostgresEventStore(url), view_store=PostgresViewStore(url), limits=limits)
    # With views of its own.
    other = Bus(LEDGER, event_store=PostgresEventStore(url), view_store=PostgresViewStore(pooled_url()), limits=limits)
    async with one, other:
        receipts = [await one.send(Deposit("a")), await other.send(Deposit("a")), await one.send(Deposit("a"))]
        for bus in (one, other):
            journal = await bus.query(GetJournal(), after=receipts[-1])
            assert journal is not None
            assert journal.entries == [(version, "account-a", version) for version in (1, 2, 3)]
