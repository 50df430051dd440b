"""Snapshots are saved by several processes at a time, and by who may not write not at all."""

from collections.abc import Callable

import anyio
import pytest

from adapters.postgres import PostgresEventStore
from bus.core.errors import StoreUnavailable
from tests.contracts.entries import NOON, entry
from tests.contracts.snapshots import snapshot


async def test_snapshots_saved_at_the_same_time_leave_the_latest_of_each_stream(new_url: Callable[[], str]) -> None:
    url = new_url()
    streams = [f"a-{number}" for number in range(50)]
    async with PostgresEventStore(url) as one, PostgresEventStore(url) as other:
        await one.append([entry(stream, 0, f"c {stream}", 9) for stream in streams], NOON)
        async with anyio.create_task_group() as group:
            for version in range(1, 10):
                forth = [snapshot(stream, version) for stream in streams]
                group.start_soon(one.save_snapshots, forth)
                group.start_soon(other.save_snapshots, forth[::-1])
        found = await one.histories(dict.fromkeys(streams, 0), 9_999, dict.fromkeys(streams, "1:a"))
        assert {history.snapshot for history in found} == {snapshot(stream, 9) for stream in streams}


async def test_a_store_that_was_opened_to_read_saves_none(new_url: Callable[[], str]) -> None:
    url = new_url()
    async with PostgresEventStore(url):
        pass
    async with PostgresEventStore(url, read_only=True) as store:
        with pytest.raises(StoreUnavailable, match="read-only"):
            await store.save_snapshots([snapshot("a-1", 1)])
