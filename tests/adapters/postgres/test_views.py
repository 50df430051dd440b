"""The view store in PostgreSQL keeps the laws of its port, and its snapshots always come back."""

import asyncio
import random
from collections.abc import Callable

import anyio
import pytest

from adapters.postgres import PostgresViewStore
from adapters.postgres.errors import InDoubt
from bus.core.stored import Checkpoint, StoredView, ViewChanges
from tests.adapters.postgres.conftest import Sql
from tests.adapters.postgres.databases import schema_of
from tests.contracts.leases import LeaseLaws, NewPair
from tests.contracts.letters import LetterLaws
from tests.contracts.view_builds import SharedBuildLaws, ViewBuildLaws
from tests.contracts.view_finding import ViewFindingLaws
from tests.contracts.view_reindexing import ViewReindexingLaws
from tests.contracts.view_store import BOARD, FIRST, PLAIN, START, NewViewStore, ViewStoreLaws
from tests.support.proxy import proxy

NewUrl = Callable[[], str]
KEY = (StoredView("k", b"1"),)


class TestPostgresViewStore(ViewStoreLaws, ViewFindingLaws, ViewReindexingLaws, ViewBuildLaws, LetterLaws):
    @pytest.fixture
    def new_store(self, new_url: NewUrl) -> NewViewStore:
        return lambda: PostgresViewStore(new_url())


class TestPostgresLeases(LeaseLaws, SharedBuildLaws):
    @pytest.fixture
    def new_pair(self, new_url: NewUrl) -> NewPair:
        def pair() -> tuple[PostgresViewStore, PostgresViewStore]:
            url = new_url()
            return PostgresViewStore(url), PostgresViewStore(url)

        return pair


async def test_more_snapshots_than_connections_wait_for_one(new_url: NewUrl) -> None:
    async with PostgresViewStore(new_url(), readers_max=2) as store:
        await store.prepare([PLAIN])

        async def look() -> None:
            async with store.snapshot() as reader:
                assert await reader.get(PLAIN, "k") is None

        async with store.snapshot(), anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(look)


async def test_snapshots_that_are_held_keep_no_projector_from_its_views(new_url: NewUrl) -> None:
    async with PostgresViewStore(new_url(), readers_max=1) as store:
        await store.prepare([PLAIN])
        async with store.snapshot():
            assert await store.commit(PLAIN, ViewChanges(START, FIRST, KEY, ()))
            assert await store.load(PLAIN, ["k"]) == {"k": b"1"}
            assert await store.prepare([PLAIN]) == {PLAIN: FIRST}


async def test_a_handler_that_raises_costs_no_connection(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()
    async with PostgresViewStore(f"{url}&application_name={schema_of(url)}", readers_max=1) as store:
        await store.prepare([PLAIN])

        async def fail(store: PostgresViewStore) -> None:
            async with store.snapshot() as reader:
                await reader.get(PLAIN, "k")
                raise LookupError

        query = "SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY pid"
        sessions: list[object] = []
        for _ in range(2):
            with pytest.raises(LookupError):
                await fail(store)
            sessions.append(await sql(query, schema_of(url)))
        assert sessions[0] == sessions[1]


async def test_cancellation_at_any_step_of_a_snapshot_gives_its_room_back(new_url: NewUrl) -> None:
    async with PostgresViewStore(new_url(), readers_max=1) as store:
        await store.prepare([PLAIN])
        await store.commit(PLAIN, ViewChanges(START, FIRST, KEY, ()))

        async def look() -> bytes | None:
            async with store.snapshot() as reader:
                return await reader.get(PLAIN, "k")

        for steps in range(15):
            task = asyncio.ensure_future(look())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert await look() == b"1"


async def test_of_two_that_commit_on_one_checkpoint_the_second_writes_nothing(new_url: NewUrl) -> None:
    url = new_url()
    outcomes: list[bool] = []
    async with PostgresViewStore(url) as one, PostgresViewStore(url) as other:
        for store in (one, other):
            await store.prepare([PLAIN])

        async def commit(store: PostgresViewStore, payload: bytes) -> None:
            changes = ViewChanges(START, Checkpoint(len(payload), "s", "a-1", 1), (StoredView("k", payload),), ())
            outcomes.append(await store.commit(PLAIN, changes))

        async with anyio.create_task_group() as group:
            group.start_soon(commit, one, b"1")
            group.start_soon(commit, other, b"22")
        assert sorted(outcomes) == [False, True]
        checkpoint = (await one.prepare([PLAIN]))[PLAIN]
        assert len((await one.load(PLAIN, ["k"]))["k"]) == checkpoint.position


async def test_ten_that_prepare_at_once_make_each_table_once(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()

    async def prepare() -> None:
        async with PostgresViewStore(url) as store:
            assert dict(await store.prepare([PLAIN, BOARD])) == {PLAIN: START, BOARD: START}

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(prepare)
    assert (await sql(f"SELECT count(*) FROM {schema_of(url)}.projections"))[0][0] == 2


async def test_a_number_beyond_64_bits_writes_neither_rows_nor_checkpoint(new_url: NewUrl) -> None:
    async with PostgresViewStore(new_url()) as store:
        await store.prepare([BOARD])
        views = (StoredView("a", b"1", ("EWR", 1)), StoredView("b", b"1", ("EWR", 2**70)))
        with pytest.raises(ValueError, match="too large"):
            await store.commit(BOARD, ViewChanges(START, FIRST, views, ()))
        assert dict(await store.prepare([BOARD])) == {BOARD: START}
        assert dict(await store.load(BOARD, ["a", "b"])) == {}
        async with store.snapshot() as reader:
            assert list(await reader.find(BOARD, {"at": 2**70}, None, False, 9)) == []


async def test_a_key_too_long_for_an_index_writes_neither_rows_nor_checkpoint(new_url: NewUrl) -> None:
    async with PostgresViewStore(new_url()) as store:
        await store.prepare([PLAIN])
        # Chance, since what can be compressed would still find room.
        long = random.Random(1).randbytes(5_000).hex()
        with pytest.raises(ValueError, match="index row"):
            await store.commit(PLAIN, ViewChanges(START, FIRST, (StoredView("a", b"1"), StoredView(long, b"1")), ()))
        assert dict(await store.prepare([PLAIN])) == {PLAIN: START}
        assert dict(await store.load(PLAIN, ["a"])) == {}


async def test_a_commit_whose_connection_is_lost_is_in_doubt_and_whole_or_absent(new_url: NewUrl) -> None:
    url = new_url()
    async with proxy(url) as between, PostgresViewStore(between.url) as store, PostgresViewStore(url) as direct:
        await store.prepare([PLAIN])
        await direct.prepare([PLAIN])
        # The first is prepared; after that a commit of this form has always the same number of bytes.
        at = Checkpoint(1, "s", "a-1", 1)
        await store.commit(PLAIN, ViewChanges(START, Checkpoint(0, "s", "a-1", 1), KEY, ()))
        passed = between.to_server
        await store.commit(PLAIN, ViewChanges(Checkpoint(0, "s", "a-1", 1), at, KEY, ()))
        size = between.to_server - passed
        for number, cut in enumerate([*range(0, size, size // 15), size - 5, size - 1], start=1):
            warm = Checkpoint(2 * number, "s", "a-1", 1)
            assert await store.commit(PLAIN, ViewChanges(at, warm, KEY, ()))
            after = Checkpoint(2 * number + 1, "s", "a-1", 1)
            between.cut_after(cut)
            changes = ViewChanges(warm, after, (StoredView("k", b"2"),), ())
            with pytest.raises(InDoubt):
                await store.commit(PLAIN, changes)
            between.release()
            # Only one of the two can happen. The last five bytes end the message, and are not needed any more.
            assert await direct.commit(PLAIN, changes) or cut >= size - 5
            async with direct.snapshot() as reader:
                at = await reader.checkpoint(PLAIN)
                assert (at, await reader.get(PLAIN, "k")) == (after, b"2")
