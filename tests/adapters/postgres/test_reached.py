"""Checkpoints of a schema of views are read beside the processes that write it."""

from collections.abc import Callable

import pytest

from adapters.postgres import PostgresEventStore, PostgresViewStore
from adapters.postgres.reached import reached
from bus import Bus
from bus.core.errors import Unusable
from tests.support.ledger import LEDGER, Deposit


async def test_positions_are_read_while_the_store_is_in_use(new_url: Callable[[], str]) -> None:
    url = new_url()
    async with Bus(LEDGER, event_store=PostgresEventStore(url), view_store=PostgresViewStore(url)) as bus:
        await bus.wait_projected(await bus.send(Deposit("a", times=3)))
        assert await reached(url) == {("balances", 1): 3, ("journal", 1): 3, ("notes", 1): 3}


async def test_a_schema_without_views_is_told(new_url: Callable[[], str]) -> None:
    with pytest.raises(Unusable, match="view store"):
        await reached(new_url())
