"""Builds are switched and dropped as one, beside who reads and commits, and whatever becomes of the connection."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import asyncpg
import pytest

from adapters.postgres import PostgresViewStore
from adapters.postgres.builds import PATIENCE_S
from adapters.postgres.errors import InDoubt
from bus.core.builds import Build, answering
from bus.core.errors import StoreUnavailable, Unusable
from bus.core.stored import Checkpoint, StoredView, ViewChanges
from tests.adapters.postgres.conftest import Sql
from tests.adapters.postgres.databases import schema_of
from tests.adapters.postgres.test_golden import frozen
from tests.contracts.leases import HOUR_S
from tests.contracts.view_builds import LATER, NEXT, NOON, SECOND
from tests.contracts.view_store import BOARD, FIRST, PLAIN, START
from tests.support.proxy import Proxy, proxy

NewUrl = Callable[[], str]
PUT = (StoredView("k", b"1", (5,)),)
AT_8 = Checkpoint(8, "store", "a-1", 4)


async def fill(store: PostgresViewStore) -> None:
    await store.prepare([PLAIN])
    await store.build(NEXT, NOON)
    assert await store.commit(NEXT, ViewChanges(START, FIRST, PUT, ()))


async def relations(sql: Sql, url: str) -> list[str]:
    """Tables, indexes and procedures of views."""
    found = await sql(
        "SELECT relname FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relname LIKE 'views%' "
        "UNION SELECT proname FROM pg_proc WHERE pronamespace = $1::text::regnamespace AND proname LIKE 'commit%' "
        "ORDER BY 1",
        schema_of(url),
    )
    return [name for (name,) in found]


async def test_nothing_is_left_of_what_was_dropped(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()
    async with PostgresViewStore(url) as store:
        await store.prepare([PLAIN])
        before = await relations(sql, url)
        await fill(store)
        assert len(await relations(sql, url)) == len(before) + 4
        assert await store.drop(NEXT)
    assert await relations(sql, url) == before


async def test_a_key_is_given_once_also_after_its_table_has_gone(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()
    async with PostgresViewStore(url) as store:
        for table in (NEXT, NEXT, SECOND):
            await store.build(table, NOON)
            assert await store.drop(table)
        await store.prepare([BOARD])
    assert [key for (key,) in await sql(f"SELECT projection_key FROM {schema_of(url)}.projections")] == [4]


async def test_a_drop_waits_for_who_reads_and_lets_those_read_who_come_meanwhile(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()
    async with PostgresViewStore(url) as store, PostgresViewStore(url) as other:
        await fill(store)
        await other.prepare([PLAIN, NEXT])
        async with anyio.create_task_group() as group, store.snapshot() as reader:
            assert await reader.get(NEXT, "k") == b"1"
            group.start_soon(store.drop, NEXT)
            while not await sql("SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"):
                pass
            # Behind the drop, until that gives way; and the next one, whoever's turn it is.
            for _ in range(2):
                async with other.snapshot() as late:
                    assert await late.get(NEXT, "k") == b"1"
                assert await other.commit(PLAIN, ViewChanges(START, START, (), ()))
            assert await reader.get(NEXT, "k") == b"1"
        assert [one.table for one in await other.builds()] == [PLAIN]


async def test_a_drop_that_is_hindered_for_too_long_changes_nothing_and_may_be_tried_again(new_url: NewUrl) -> None:
    url = new_url()
    async with PostgresViewStore(url, timeout_s=3 * PATIENCE_S) as store, PostgresViewStore(url) as other:
        await fill(other)
        async with other.snapshot() as reader:
            assert await reader.get(NEXT, "k") == b"1"
            with pytest.raises(StoreUnavailable, match="reading or changing it for longer"):
                await store.drop(NEXT)
        assert await other.commit(NEXT, ViewChanges(FIRST, AT_8, PUT, ()))
        assert await store.drop(NEXT)


async def test_a_commit_that_waits_while_its_table_is_dropped_is_told(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()
    async with PostgresViewStore(url) as store, PostgresViewStore(url) as other:
        await fill(store)
        await other.prepare([NEXT])
        schema = schema_of(url)
        blocker = await asyncpg.connect(url.partition("?")[0])
        try:
            # As a drop leaves it, in the middle of which the commit comes.
            await blocker.execute(f"BEGIN; SELECT 1 FROM {schema}.projections WHERE build = 1 FOR UPDATE")
            await blocker.execute(f"DELETE FROM {schema}.projections WHERE build = 1")
            async with anyio.create_task_group() as group:

                async def commit() -> None:
                    with pytest.raises(Unusable, match="were dropped"):
                        await other.commit(NEXT, ViewChanges(FIRST, AT_8, PUT, ()))

                group.start_soon(commit)
                while not await sql("SELECT 1 FROM pg_locks WHERE NOT granted"):
                    pass
                await blocker.execute("COMMIT")
        finally:
            await blocker.close()


async def test_who_finds_its_table_dropped_needs_no_second_connection_to_say_so(new_url: NewUrl) -> None:
    url = new_url()
    async with PostgresViewStore(url) as store, PostgresViewStore(url, writers_max=1) as other:
        await fill(store)
        await other.prepare([NEXT])
        assert await store.drop(NEXT)
        with anyio.fail_after(30):
            with pytest.raises(Unusable, match="were dropped"):
                await other.load(NEXT, ["k"])
            with pytest.raises(Unusable, match="were dropped"):
                await other.commit(NEXT, ViewChanges(FIRST, AT_8, PUT, ()))
            async with other.snapshot() as reader:
                with pytest.raises(Unusable, match="were dropped"):
                    await reader.checkpoint(NEXT)
            async with other.snapshot() as reader:
                with pytest.raises(Unusable, match="were dropped"):
                    await reader.get(NEXT, "k")


async def test_a_table_that_was_dropped_and_made_anew_is_another_one(new_url: NewUrl) -> None:
    url = new_url()
    async with PostgresViewStore(url) as store, PostgresViewStore(url) as other:
        await fill(store)
        await other.prepare([NEXT])
        epoch = (await other.claim([NEXT], "other", HOUR_S))[NEXT].epoch
        assert await store.drop(NEXT)
        await store.build(NEXT, LATER)
        with pytest.raises(Unusable, match="were dropped"):
            await other.commit(NEXT, ViewChanges(FIRST, AT_8, PUT, (), epoch))
        with pytest.raises(Unusable, match="were dropped"):
            await other.load(NEXT, ["k"])
        # Who asks for the lease learns of the new one, and has it the next time.
        assert (await other.claim([NEXT], "other", HOUR_S))[NEXT].checkpoint == START
        assert (await other.claim([NEXT], "other", HOUR_S))[NEXT].owner == "other"
        assert dict(await other.load(NEXT, ["k"])) == {}


@asynccontextmanager
async def _measured(new_url: NewUrl) -> AsyncGenerator[tuple[PostgresViewStore, PostgresViewStore, Proxy]]:
    """A store that is filled, and the same by way of a proxy, whose connection has called both procedures before."""
    url = new_url()
    async with proxy(url) as between, PostgresViewStore(url) as direct, PostgresViewStore(between.url) as store:
        await fill(direct)
        await store.prepare([PLAIN, NEXT])
        assert not await store.switch(NEXT, 99, PLAIN, NOON)
        assert await store.drop(SECOND)
        yield direct, store, between


@pytest.mark.parametrize("kind", ["switch", "drop"])
async def test_where_the_connection_is_lost_it_is_in_doubt_and_whole_or_absent(new_url: NewUrl, kind: str) -> None:
    async def change(store: PostgresViewStore) -> None:
        done = store.switch(NEXT, 0, PLAIN, LATER) if kind == "switch" else store.drop(NEXT)
        assert await done

    async def attempt(cut: int, *, to_server: bool) -> bool:
        async with _measured(new_url) as (direct, store, between):
            between.cut_after(cut, to_server=to_server)
            with pytest.raises(InDoubt):
                await change(store)
            between.release()
            # The server may still be about it.
            await direct.commit(PLAIN, ViewChanges(START, START, (), ()))
            found = list(await direct.builds())
            before = [Build(PLAIN, START, "answering", None), Build(NEXT, FIRST, "building", NOON)]
            after = [Build(PLAIN, START, "replaced", LATER), Build(NEXT, FIRST, "answering", LATER)]
            after = after if kind == "switch" else before[:1]
            assert found in (before, after)
            await change(direct)
            assert list(await direct.builds()) == after
            return found == after

    async with _measured(new_url) as (_, store, between):
        passed = between.to_server
        await change(store)
        size = between.to_server - passed
    outcomes = [await attempt(cut, to_server=True) for cut in range(1, size, size // 3)]
    assert not outcomes[0]
    # What comes back is lost, which hinders nothing.
    assert await attempt(1, to_server=False) in (True, False)


async def test_many_that_switch_and_drop_at_once_always_leave_one_that_answers(new_url: NewUrl) -> None:
    url = new_url()
    async with PostgresViewStore(url) as store:
        await store.prepare([PLAIN])
        await store.build(NEXT, NOON)
        await store.build(SECOND, NOON)

    async def change(number: int) -> None:
        tables = [PLAIN, NEXT, SECOND]
        async with PostgresViewStore(url) as store:
            for step in range(6):
                table, over = tables[(number + step) % 3], tables[(number + 2 * step + 1) % 3]
                await store.switch(table, 0, over, LATER)
                if (number + step) % 4 == 0:
                    await store.drop(table)
                # Where others have dropped what it was switched over, there may be two.
                assert answering(await store.builds()) is not None

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(change, number)


async def test_a_look_that_began_before_another_does_not_undo_what_that_has_found(new_url: NewUrl) -> None:
    async with PostgresViewStore(new_url()) as store:
        await store.prepare([PLAIN])

        async def look() -> None:
            for _ in range(20):
                await store.builds()

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(look)
            for build in range(1, 6):
                table = type(NEXT)("plain", 1, (), build)
                await store.build(table, NOON)
                for _ in range(5):
                    assert dict(await store.load(table, ["k"])) == {}
                    await asyncio.sleep(0)


async def test_a_process_of_the_release_before_goes_on_with_what_it_has_and_finds_no_build_by_mistake(
    new_url: NewUrl, sql: Sql
) -> None:
    url = await frozen(new_url(), "views-3")
    schema = schema_of(url)
    async with PostgresViewStore(url) as store:
        again = type(PLAIN)("plain", 1, (), 1)
        await store.build(again, NOON)
        # As release 3 claims, commits and reads.
        await sql(f"CALL {schema}.claim_projections(ARRAY[3], 'old', 60)")
        commit = f"CALL {schema}.commit_views_3($1, $2, $3, $4, $5, $6, $7, $8, $9, NULL, NULL, $10, $11, $12, NULL)"
        (before,) = await sql(
            f"SELECT position, store_id, stream, stream_version FROM {schema}.projections WHERE projection_key = 3"
        )
        done = await sql(commit, 1, *before, 8, before[1], "flight-1", 5, [], ["k"], [b"2"])
        assert done[0][0] is True
        assert dict(await store.load(again, ["k"])) == {}
        assert (await store.builds())[-2].checkpoint.position == 8
        looks = f"SELECT projection_key, projection, version, indexes, commit_form FROM {schema}.projections"
        with pytest.raises(asyncpg.UndefinedColumnError, match="commit_form"):
            await sql(looks)
