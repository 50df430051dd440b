"""Connections come back, or are not used again; none is left."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from adapters.postgres import PostgresEventStore, PostgresViewStore
from adapters.postgres.connections import Connections
from adapters.postgres.urls import target_of
from bus import Bus
from bus.core.errors import StoreUnavailable, Unusable
from tests.adapters.postgres.conftest import Sql
from tests.support.ledger import LEDGER

NewUrl = Callable[[], str]

SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"


def _pool(url: str, connections_max: int = 2, name: str = "") -> Connections:
    return Connections(target_of(f"{url}&application_name={name}"), connections_max, connect_timeout_s=10)


async def _sessions(sql: Sql, name: str, expected: int) -> None:
    """Returns when the server has so many sessions of that name; one that was cut off ends soon, not at once."""
    with anyio.fail_after(20):
        while (await sql(SESSIONS, name))[0][0] != expected:
            await sql("SELECT pg_sleep(0.005)")


async def test_no_more_than_allowed_are_opened_and_they_are_used_again(new_url: NewUrl, sql: Sql) -> None:
    pool, used = _pool(new_url(), name="bounded"), set[int]()

    async def use() -> None:
        async with pool.lease() as connection:
            used.add(await connection.fetchval("SELECT pg_backend_pid()"))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(use)
    assert len(used) == 2
    await _sessions(sql, "bounded", 2)
    await pool.close()
    await _sessions(sql, "bounded", 0)
    with pytest.raises(StoreUnavailable, match="closed"):
        await use()


async def test_one_whose_use_ended_in_an_error_is_not_used_again(new_url: NewUrl) -> None:
    pool = _pool(new_url(), 1)
    with pytest.raises(LookupError):
        async with pool.lease() as first:
            raise LookupError
    assert first.is_closed()
    async with pool.lease() as second:
        assert await second.fetchval("SELECT 1") == 1
    await pool.close()


async def test_one_that_the_server_ended_is_replaced(new_url: NewUrl, sql: Sql) -> None:
    pool = _pool(new_url(), 1)
    async with pool.lease() as first:
        pid = await first.fetchval("SELECT pg_backend_pid()")
    ended = asyncio.Event()
    first.add_termination_listener(lambda _: ended.set())
    await sql("SELECT pg_terminate_backend($1)", pid)
    await ended.wait()
    async with pool.lease() as second:
        assert await second.fetchval("SELECT pg_backend_pid()") != pid
    await pool.close()


async def test_cancellation_at_any_step_leaves_no_connection_behind(new_url: NewUrl, sql: Sql) -> None:
    pool = _pool(new_url(), name="cancelled")

    async def use() -> int:
        async with pool.lease() as connection:
            value: int = await connection.fetchval("SELECT 1")
            return value

    for steps in range(30):
        task = asyncio.ensure_future(use())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert await use() == 1
    await pool.close()
    await _sessions(sql, "cancelled", 0)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    pool = _pool("postgresql://127.0.0.1:1/none?schema=a")
    with pytest.raises(StoreUnavailable, match="check that the server runs"):
        async with pool.lease():
            pass
    await pool.close()


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_under_trio_it_says_that_it_needs_asyncio(anyio_backend: str) -> None:
    with pytest.raises(Unusable, match="need asyncio"):
        await PostgresEventStore("postgresql://127.0.0.1:1/none").__aenter__()


async def test_a_bus_that_is_left_while_a_connection_is_being_made_leaves_no_error_to_the_loop(new_url: NewUrl) -> None:
    url, told = new_url(), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    for _ in range(10):
        async with Bus(LEDGER, event_store=PostgresEventStore(url), view_store=PostgresViewStore(url)):
            pass
    gc.collect()
    await anyio.lowlevel.checkpoint()
    asyncio.get_running_loop().set_exception_handler(None)
    assert told == []
