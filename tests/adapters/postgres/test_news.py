"""Processes hear of each other's appends, rarely told, and miss none for ever."""

import asyncio
from collections.abc import Callable

import anyio
import pytest

from adapters.postgres import PostgresEventStore, PostgresViewStore
from bus import Bus, Limits
from bus.core.errors import StoreUnavailable
from bus.core.stored import ViewTable
from tests.adapters.postgres.conftest import Sql
from tests.adapters.postgres.databases import schema_of
from tests.contracts.entries import NOON, entry
from tests.support.ledger import LEDGER, Deposit, GetBalance

NewUrl = Callable[[], str]


class Ear:
    """What was heard, and how often."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self._news = asyncio.Event()

    def __call__(self, position: int) -> None:
        self.heard.append(position)
        self._news.set()

    async def reach(self, position: int) -> None:
        with anyio.fail_after(30):
            while max(self.heard, default=-1) < position:
                self._news.clear()
                await self._news.wait()


async def test_an_append_is_heard_by_others_and_what_came_before_at_once(new_url: NewUrl) -> None:
    url, ear = new_url(), Ear()
    async with PostgresEventStore(url) as one, PostgresEventStore(url) as other:
        await one.append([entry("a-1", 0, "c1")], NOON)
        async with anyio.create_task_group() as group:
            group.start_soon(one.follow, lambda position: None)
            group.start_soon(other.follow, ear)
            await ear.reach(1)
            await one.append([entry("a-1", 1, "c2"), entry("a-2", 0, "c3")], NOON)
            await ear.reach(3)
            # Entry by entry as well.
            await one.append([entry("a-1", 0, "c4"), entry("a-2", 1, "c5")], NOON)
            await ear.reach(4)
            group.cancel_scope.cancel()


async def test_many_appends_are_told_together(new_url: NewUrl) -> None:
    url, ear = new_url(), Ear()
    async with (
        PostgresEventStore(url, notify_interval_s=3600) as one,
        PostgresEventStore(url) as other,
        anyio.create_task_group() as group,
    ):
        group.start_soon(one.follow, lambda position: None)
        group.start_soon(other.follow, ear)
        await ear.reach(0)
        await one.append([entry("a-1", 0, "c0")], NOON)
        await ear.reach(1)
        for number in range(1, 30):
            await one.append([entry("a-1", number, f"c{number}")], NOON)
        assert ear.heard == [0, 1]
        group.cancel_scope.cancel()


async def test_who_listens_learns_that_the_connection_is_lost_and_may_listen_again(new_url: NewUrl, sql: Sql) -> None:
    url, ear = new_url(), Ear()
    async with PostgresEventStore(f"{url}&application_name={schema_of(url)}") as store:
        listening = asyncio.ensure_future(store.follow(ear))
        await ear.reach(0)
        await sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", schema_of(url))
        with anyio.fail_after(30), pytest.raises(StoreUnavailable, match="lost"):
            await listening
        ear.heard.clear()
        async with anyio.create_task_group() as group:
            group.start_soon(store.follow, ear)
            await ear.reach(0)
            group.cancel_scope.cancel()


async def test_behind_a_pooler_nobody_listens(new_url: NewUrl) -> None:
    async with PostgresEventStore(f"{new_url()}&pooled=yes") as store:
        await store.follow(lambda position: None)


async def test_behind_a_pooler_another_url_may_lead_to_the_server(new_url: NewUrl) -> None:
    url, ear = new_url(), Ear()
    async with PostgresEventStore(f"{url}&pooled=yes", listen_url=url) as store, anyio.create_task_group() as group:
        group.start_soon(store.follow, ear)
        await ear.reach(0)
        group.cancel_scope.cancel()


async def test_a_bus_that_wrote_nothing_shows_what_another_one_recorded(new_url: NewUrl) -> None:
    url = new_url()
    # Polls so rarely that only the news can be in time.
    rarely = Limits(poll_interval_s=3600)
    async with (
        Bus(LEDGER, event_store=PostgresEventStore(url), limits=rarely) as writer,
        Bus(LEDGER, event_store=PostgresEventStore(url), limits=rarely) as reader,
    ):
        for amount in range(1, 6):
            receipt = await writer.send(Deposit("a", amount))
            balance = await reader.query(GetBalance("a"), after=receipt, timeout=30)
            assert balance is not None
            assert len(balance.positions) == amount


async def test_a_bus_that_projects_nothing_hears_what_another_one_has_projected(new_url: NewUrl) -> None:
    url = new_url()
    rarely = Limits(poll_interval_s=3600, lease_s=36_000)

    def bus() -> Bus:
        return Bus(LEDGER, event_store=PostgresEventStore(url), view_store=PostgresViewStore(url), limits=rarely)

    async with bus() as holder, bus() as other:
        for amount in range(1, 6):
            receipt = await (holder if amount % 2 else other).send(Deposit("a", amount))
            balance = await other.query(GetBalance("a"), after=receipt, timeout=30)
            assert balance is not None
            assert len(balance.positions) == amount
        await other.wait_projected(receipt, timeout=30)
        assert [one.is_here for one in other.statistics().projections] == [False] * 3


async def test_leases_that_are_given_up_are_heard_of(new_url: NewUrl) -> None:
    url, ear = new_url(), Ear()
    table = ViewTable("plain", 1)
    async with PostgresViewStore(url) as one, PostgresViewStore(url) as other, anyio.create_task_group() as group:
        await one.prepare([table])
        await one.claim([table], "owner", 3600)
        group.start_soon(one.follow, lambda number: None)
        group.start_soon(other.follow, ear)
        await ear.reach(0)
        await one.release([table], "owner")
        await ear.reach(1)
        group.cancel_scope.cancel()


async def test_without_news_polling_finds_what_is_projected(new_url: NewUrl) -> None:
    url = f"{new_url()}&pooled=yes"
    often = Limits(poll_interval_s=0.01)

    def bus() -> Bus:
        return Bus(LEDGER, event_store=PostgresEventStore(url), view_store=PostgresViewStore(url), limits=often)

    async with bus() as holder, bus() as other:
        receipt = await holder.send(Deposit("a", 1))
        assert await other.query(GetBalance("a"), after=receipt, timeout=30) is not None


async def test_without_news_polling_finds_it(new_url: NewUrl) -> None:
    url = f"{new_url()}&pooled=yes"
    often = Limits(poll_interval_s=0.01)
    async with (
        Bus(LEDGER, event_store=PostgresEventStore(url), limits=often) as writer,
        Bus(LEDGER, event_store=PostgresEventStore(url), limits=often) as reader,
    ):
        receipt = await writer.send(Deposit("a", 1))
        assert await reader.query(GetBalance("a"), after=receipt, timeout=30) is not None
