"""The event store in memory keeps the laws of its port, on both event loops."""

import pytest

from bus.core.stored import Appended, Stale
from bus.memory import MemoryEventStore
from tests.contracts.entries import NOON, entry
from tests.contracts.event_reading import EventReadingLaws
from tests.contracts.event_store import EventStoreLaws, NewStore
from tests.contracts.snapshots import SnapshotLaws


class TestMemoryEventStore(EventStoreLaws, EventReadingLaws, SnapshotLaws):
    @pytest.fixture
    def new_store(self) -> NewStore:
        return MemoryEventStore


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
