"""Reading views: a snapshot whose connection is lost says so, and the next one has another."""

from collections.abc import Callable

import pytest

from adapters.postgres import PostgresViewStore
from bus.core.errors import StoreUnavailable
from tests.adapters.postgres.conftest import Sql
from tests.adapters.postgres.databases import schema_of
from tests.contracts.view_store import PLAIN

NewUrl = Callable[[], str]


async def test_a_lost_connection_is_unavailable_to_readers_and_replaced(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()
    async with PostgresViewStore(f"{url}&application_name={schema_of(url)}") as store:
        await store.prepare([PLAIN])
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"
        async with store.snapshot() as reader:
            await sql(kill, schema_of(url))
            with pytest.raises(StoreUnavailable):
                await reader.get(PLAIN, "k")
        async with store.snapshot() as reader:
            assert await reader.get(PLAIN, "k") is None
