"""Views get other indexes in one transaction: also beside a process that knows the old ones, and if it breaks off."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from adapters.postgres import PostgresViewStore
from bus import Bus, MemoryEventStore
from bus.core.errors import StoreUnavailable, Unusable
from bus.core.stored import Checkpoint, StoredView, ViewChanges, ViewTable
from tests.adapters.postgres.conftest import Sql
from tests.adapters.postgres.databases import schema_of
from tests.bus.read.test_reindexing import application, indexed
from tests.contracts.view_reindexing import NEW, OLD, SECOND, new_values
from tests.contracts.view_store import FIRST, START
from tests.support.asking import Ask
from tests.support.ledger import Deposit
from tests.support.projecting import of
from tests.support.proxy import proxy

NewUrl = Callable[[], str]
SWAPPED = ViewTable("rows", 1, ("text",))
"""As many indexes as `OLD` has, of which none is the same."""
LATE = ViewChanges(FIRST, SECOND, (StoredView("late", b"late", (4,)),), ("a",))


async def fill(store: PostgresViewStore, views: int = 5) -> None:
    await store.prepare([OLD])
    put = tuple([StoredView(f"{number:04}", b"x" * number, (number,)) for number in range(views)])
    assert await store.commit(OLD, ViewChanges(START, FIRST, put, ()))


@pytest.mark.parametrize("table", [NEW, SWAPPED], ids=["more", "as-many"])
async def test_a_process_that_knows_the_old_indexes_is_refused_whatever_it_does(
    new_url: NewUrl, table: ViewTable
) -> None:
    url = new_url()
    async with PostgresViewStore(url) as old, PostgresViewStore(url) as new:
        # Whatever can be prepared on the server is, by having been used before.
        await fill(old)
        await old.load(OLD, ["0001"])
        async with old.snapshot() as reader:
            assert len(await reader.find(OLD, {"size": 1}, None, False, 9)) == 1
        await new.prepare([table])
        await new.reindex(table, lambda payload: new_values(payload)[: len(table.indexes)], 2)

        async def get() -> None:
            async with old.snapshot() as reader:
                await reader.get(OLD, "0001")

        async def find() -> None:
            async with old.snapshot() as reader:
                await reader.find(OLD, {"size": 1}, None, False, 9)

        async def checkpoint() -> None:
            async with old.snapshot() as reader:
                await reader.checkpoint(OLD)

        attempts: list[Coroutine[Any, Any, object]] = [
            *(old.commit(OLD, LATE), old.load(OLD, ["0001"]), get(), find(), checkpoint())
        ]
        for attempt in attempts:
            with pytest.raises(Unusable, match="indexed anew by a bus of another release"):
                await attempt
        # Also once it has looked how far its views are, as after a commit that failed.
        assert dict(await old.prepare([OLD])) == {OLD: FIRST}
        with pytest.raises(Unusable, match="are indexed by"):
            await old.commit(OLD, LATE)
        assert dict(await new.prepare([table])) == {table: FIRST}
        assert dict(await new.load(table, ["late", "0001"])) == {"0001": b"x"}


async def test_a_commit_that_waits_while_views_are_indexed_anew_writes_nothing(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()
    async with PostgresViewStore(url) as old, PostgresViewStore(url) as new, proxy(url) as between:
        await fill(old, 20)
        async with PostgresViewStore(between.url) as slow:
            await slow.prepare([NEW])
            # Somewhere in the middle of its pages, with the row of the checkpoint locked.
            between.stall_after(4_000)
            outcomes: list[object] = []

            async def commit() -> None:
                try:
                    outcomes.append(await old.commit(OLD, LATE))
                except Unusable as error:
                    outcomes.append(error)

            async with anyio.create_task_group() as group:
                group.start_soon(slow.reindex, NEW, new_values, 1)
                await between.reached.wait()
                group.start_soon(commit)
                while not await sql("SELECT 1 FROM pg_locks WHERE NOT granted"):
                    pass
                between.release()
        assert outcomes[0] is False or isinstance(outcomes[0], Unusable)
        await new.prepare([NEW])
        assert dict(await new.load(NEW, ["late", "0001"])) == {"0001": b"x"}


async def test_a_snapshot_that_is_read_meanwhile_stays_whole(new_url: NewUrl) -> None:
    url = new_url()
    async with PostgresViewStore(url) as old, PostgresViewStore(url) as new:
        await fill(old, 20)
        await new.prepare([NEW])
        async with anyio.create_task_group() as group, old.snapshot() as reader:
            assert len(await reader.find(OLD, {}, "size", False, 99)) == 20
            group.start_soon(new.reindex, NEW, new_values, 3)
            for _ in range(20):
                await asyncio.sleep(0)
                assert len(await reader.find(OLD, {}, "size", False, 99)) == 20
        async with new.snapshot() as reader:
            assert len(await reader.find(NEW, {}, "text", False, 99)) == 20


async def test_a_connection_lost_at_any_byte_leaves_the_old_indexes_or_the_new(new_url: NewUrl) -> None:
    async def attempt(cut: int | None) -> tuple[int, bool]:
        """Returns how many bytes went to the server, and whether the new indexes are there."""
        url = new_url()
        async with proxy(url) as between, PostgresViewStore(url) as direct:
            await fill(direct)
            async with PostgresViewStore(between.url) as store:
                await store.prepare([NEW])
                passed = between.to_server
                if cut is None:
                    await store.reindex(NEW, new_values, 2)
                else:
                    between.cut_after(cut)
                    with pytest.raises(StoreUnavailable):
                        await store.reindex(NEW, new_values, 2)
                    between.release()
                size = between.to_server - passed
            # Who comes next waits for the server to notice.
            assert dict(await direct.prepare([NEW])) == {NEW: FIRST}
            is_new = direct._tables["rows", 1, 0].indexes == NEW.indexes
            await direct.reindex(NEW, new_values, 2)
            async with direct.snapshot() as reader:
                found = [key for key, _ in await reader.find(NEW, {}, "text", True, 9)]
            assert found == ["0004", "0003", "0002", "0001", "0000"]
            return size, is_new

    size, is_new = await attempt(None)
    assert is_new
    outcomes = [(await attempt(cut))[1] for cut in range(1, size, size // 12)]
    assert not outcomes[0]
    assert sorted(outcomes) == outcomes, "once committed it stays"


async def test_of_ten_that_index_anew_at_once_one_does_it(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()
    async with PostgresViewStore(url) as store:
        await fill(store)

    async def reindex() -> None:
        async with PostgresViewStore(url) as store:
            await store.prepare([NEW])
            await store.reindex(NEW, new_values, 2)
            assert await store.load(NEW, ["0001"]) == {"0001": b"x"}

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(reindex)
    tables = await sql(
        "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE nspname = $1 AND relname LIKE 'views%' AND relkind = 'r'",
        schema_of(url),
    )
    assert [row[0] for row in tables] == ["views_2"]
    procedures = (
        "SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace "
        "WHERE nspname = $1 AND proname LIKE 'commit%'"
    )
    assert [row[0] for row in await sql(procedures, schema_of(url))] == ["commit_views_2"]


async def test_a_text_too_long_for_an_index_is_told_and_nothing_is_changed(new_url: NewUrl) -> None:
    async with PostgresViewStore(new_url()) as store:
        await fill(store)
        long = "".join(chr(0x4E00 + number) for number in range(5_000))
        with pytest.raises(Unusable, match="the view '0000' of 'rows' version 1 cannot be indexed"):
            await store.reindex(NEW, lambda payload: (long, len(payload)), 2)
        second = Checkpoint(8, "store", "a-1", 4)
        assert await store.commit(OLD, ViewChanges(FIRST, second, (StoredView("a", b"", (0,)),), ()))


async def test_the_bus_of_the_release_before_leaves_the_views_to_the_new_one_and_says_why(new_url: NewUrl) -> None:
    events, url = MemoryEventStore(shared=True), new_url()
    async with Bus(application(indexed("account")), event_store=events, view_store=PostgresViewStore(url)) as old:
        await old.wait_projected(await old.send(Deposit("a", 1)))
        async with Bus(application(indexed("balance")), event_store=events, view_store=PostgresViewStore(url)) as new:
            assert len(await new.query(Ask("views.find(View, balance=1)"))) == 1
            receipt = await old.send(Deposit("a", 1))
            found = await new.query(Ask("views.find(View, balance=2)"), after=receipt)
            assert [one.positions for one in found] == [[1, 2]]
            # Whether it had begun on the event, and stopped, or not: the new one has got past it.
            with anyio.fail_after(30):
                while of(old.statistics()).position < receipt.position:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            assert not of(old.statistics()).is_here
            with pytest.raises(Unusable, match="a bus of another release"):
                await old.query(Ask("views.find(View, account='a')"))
