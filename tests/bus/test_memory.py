"""The stores in memory keep the laws of their ports, on both event loops."""

import msgspec
import pytest

from bus.core.stored import Appended, Stale
from bus.memory import MemoryEventStore, MemoryViewStore
from tests.contracts.entries import NOON, entry
from tests.contracts.event_reading import EventReadingLaws
from tests.contracts.event_store import EventStoreLaws, NewStore
from tests.contracts.leases import LeaseLaws, NewPair
from tests.contracts.letters import LetterLaws, request
from tests.contracts.snapshots import SnapshotLaws
from tests.contracts.view_finding import ViewFindingLaws
from tests.contracts.view_reindexing import ViewReindexingLaws
from tests.contracts.view_store import NewViewStore, ViewStoreLaws


class TestMemoryEventStore(EventStoreLaws, EventReadingLaws, SnapshotLaws):
    @pytest.fixture
    def new_store(self) -> NewStore:
        return MemoryEventStore


class TestMemoryViewStore(ViewStoreLaws, ViewFindingLaws, ViewReindexingLaws, LetterLaws):
    @pytest.fixture
    def new_store(self) -> NewViewStore:
        return MemoryViewStore


class TestMemoryLeases(LeaseLaws):
    @pytest.fixture
    def new_pair(self) -> NewPair:
        def pair() -> tuple[MemoryViewStore, MemoryViewStore]:
            store = MemoryViewStore(shared=True)
            return store, store

        return pair


async def test_a_shared_store_serves_several_buses_at_a_time() -> None:
    store = MemoryEventStore(shared=True)
    async with store:
        async with store:
            await store.append([entry("a-1", 0, "c1")], NOON)
        assert await store.append([entry("a-1", 0, "c2")], NOON) == Appended(1, {0: Stale(1)})


async def test_what_records_nothing_takes_no_memory() -> None:
    async with MemoryEventStore() as store:
        await store.append([entry("a-1", 0, "c1")], NOON)
        for _ in range(3):
            await store.append([entry("a-1", 0, "c1")], NOON)
        assert len(store._batches) == 1


async def test_requests_that_were_answered_long_ago_are_forgotten() -> None:
    async with MemoryViewStore() as store:
        for number in range(1_500):
            await store.ask(request(number))
            await store.answer(msgspec.structs.replace(request(number), answered_at=NOON))
        await store.ask(request(1_500))
        assert await store.asked("request-0") is None
        assert await store.asked("request-1499") is not None
        assert len(await store.requests(is_open=False, limit=9_999)) == 1_000
