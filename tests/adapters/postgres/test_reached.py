"""Checkpoints of a schema of views are read beside the processes that write it."""

from collections.abc import Callable

import pytest

from adapters.postgres import PostgresEventStore, PostgresViewStore
from adapters.postgres.reached import reached
from bus import Bus
from bus.core.errors import Unusable
from bus.core.stored import ViewChanges
from tests.adapters.postgres.test_golden import VIEWS_OF, frozen
from tests.contracts.view_builds import NEXT, NOON
from tests.contracts.view_store import FIRST, PLAIN, START
from tests.support.ledger import LEDGER, Deposit


async def test_positions_are_read_while_the_store_is_in_use(new_url: Callable[[], str]) -> None:
    url = new_url()
    async with Bus(LEDGER, event_store=PostgresEventStore(url), view_store=PostgresViewStore(url)) as bus:
        await bus.wait_projected(await bus.send(Deposit("a", times=3)))
        assert await reached(url) == {("balances", 1): 3, ("journal", 1): 3, ("notes", 1): 3}


async def test_a_schema_without_views_is_told(new_url: Callable[[], str]) -> None:
    with pytest.raises(Unusable, match="view store"):
        await reached(new_url())


async def test_of_the_builds_of_a_version_the_one_that_answers_counts(new_url: Callable[[], str]) -> None:
    url = new_url()
    async with PostgresViewStore(url) as views:
        await views.prepare([PLAIN])
        await views.build(NEXT, NOON)
        await views.commit(NEXT, ViewChanges(START, FIRST, (), ()))
        assert await reached(url) == {("plain", 1): 0}
        assert await views.switch(NEXT, 0, PLAIN, NOON)
        assert await reached(url) == {("plain", 1): 7}


@pytest.mark.parametrize("version", VIEWS_OF)
async def test_a_schema_of_an_earlier_release_is_read(new_url: Callable[[], str], version: int) -> None:
    assert await reached(await frozen(new_url(), f"views-{version}")) == {
        ("board", 1): 7,
        ("board", 2): 0,
        ("plain", 1): 7,
    }
