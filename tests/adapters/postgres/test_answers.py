"""Answers on PostgreSQL: of buses that share their views none gives an answer older than one given before by any."""

from collections.abc import Callable

from adapters.postgres import PostgresEventStore, PostgresViewStore
from bus import Bus, Limits
from tests.support.staleness import GROWING, Growing, Kept


async def test_no_answer_is_older_than_one_that_was_given_before(new_url: Callable[[], str]) -> None:
    url = new_url()
    one, other = [
        Bus(
            GROWING,
            event_store=PostgresEventStore(url),
            view_store=PostgresViewStore(url),
            limits=Limits(watch_interval_s=0.001),
        )
        for _ in range(2)
    ]
    async with one, other:
        growing = Growing(one, other)
        await growing.run(300)
        assert growing.asked > 300
        await one.wait_settled()
        before = [cache.hits for cache in other.statistics().caches]
        for _ in range(3):
            await other.query(Kept("a"))
        assert other.statistics().caches[0].hits >= before[0] + 2
