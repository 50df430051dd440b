"""Answers on real stores: while an account grows nobody sees less of it than anybody has seen before."""

from pathlib import Path

import pytest

from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bus import Bus, Limits, MemoryEventStore, MemoryViewStore
from tests.support.staleness import GROWING, Growing


@pytest.fixture
def anyio_backend() -> str:
    """Real time, since the stores' threads live in it."""
    return "asyncio"


LIMITS = Limits(watch_interval_s=0.001)


@pytest.mark.parametrize("limits", [LIMITS, Limits(watch_interval_s=0.001, projection_events_max=1)])
async def test_no_answer_on_sqlite_is_older_than_one_that_was_given_before(tmp_path: Path, limits: Limits) -> None:
    events, views = SqliteEventStore(tmp_path / "events.db"), SqliteViewStore(tmp_path / "views.db")
    async with Bus(GROWING, event_store=events, view_store=views, limits=limits) as bus:
        growing = Growing(bus)
        await growing.run(400)
        assert growing.asked > 400
        assert sum(one.hits for one in bus.statistics().caches) > 100


async def test_no_answer_of_buses_that_share_their_stores_is_older_than_one_that_was_given_before() -> None:
    events, views = MemoryEventStore(shared=True), MemoryViewStore(shared=True)
    one, other = [Bus(GROWING, event_store=events, view_store=views, limits=LIMITS) for _ in range(2)]
    async with one, other:
        growing = Growing(one, other)
        await growing.run(400)
        assert growing.asked > 400
        assert sum(cache.hits for bus in (one, other) for cache in bus.statistics().caches) > 100
