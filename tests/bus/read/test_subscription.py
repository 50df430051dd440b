"""Subscription: every event once and in order, from pages or feed; decoded only where it is of interest."""

from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest

from bus import MemoryEventStore
from bus.core.stored import Checkpoint, NewEvent, StoredEvent
from bus.runtime.feed import Feed
from tests.support.ledger import LEDGER, Deposited, NoteWritten
from tests.support.subscribing import DEPOSITED, NOON, NOTE_WRITTEN, Bench, positions, take


async def test_the_same_slice_comes_again_until_it_is_accepted() -> None:
    bench = Bench()
    async with bench.store:
        subscription = bench.subscription()
        await bench.append(DEPOSITED, DEPOSITED)
        first = await take(subscription)
        again = await take(subscription)
        assert positions(first.events) == positions(again.events) == [1, 2]
        subscription.accept(first.last)
        await bench.append(DEPOSITED)
        assert positions((await take(subscription)).events) == [3]


async def test_a_slice_ends_with_the_place_of_its_last_event_of_interest_or_not() -> None:
    bench = Bench()
    async with bench.store:
        subscription = bench.subscription()
        await bench.append(DEPOSITED)
        await bench.append(NOTE_WRITTEN, NOTE_WRITTEN, stream="note-n")
        for publish in (True, False):
            if not publish:
                bench.feed = Feed(1)
                bench.feed.advance(3)
                subscription = bench.subscription()
            found = await take(subscription)
            assert positions(found.events) == [1]
            assert found.last == Checkpoint(3, bench.store.identity, "note-n", 2)
            assert (found.read, found.recorded_at, found.fault) == (3, NOON, None)


async def test_when_what_comes_next_was_recorded_is_known_once_it_was_read() -> None:
    bench = Bench()
    async with bench.store:
        subscription = bench.subscription()
        assert subscription.recorded_at(1) is None
        await bench.append(DEPOSITED)
        await take(subscription)
        assert (subscription.recorded_at(1), subscription.recorded_at(2)) == (NOON, None)
        await bench.append(NewEvent("unknown", b"{}"), publish=False)
        bench.feed = Feed(1)
        bench.feed.advance(2)
        subscription = bench.subscription()
        first = await take(subscription)
        assert first.fault is not None
        subscription.accept(first.last)
        await take(subscription)
        assert (subscription.recorded_at(1), subscription.recorded_at(2)) == (None, NOON)


async def test_events_of_other_categories_are_passed_without_being_decoded() -> None:
    bench = Bench()
    async with bench.store:
        await bench.append(NewEvent("note-written", b"not JSON"), stream="note-n", publish=False)
        await bench.append(NewEvent("renamed", b"not JSON"), stream="note-n", publish=False)
        await bench.append(DEPOSITED, publish=False)
        bench.feed.advance(3)
        found = await take(bench.subscription())
        assert (positions(found.events), found.read, found.fault) == ([3], 3, None)


@pytest.mark.parametrize(
    ("event", "stream"),
    [
        (NewEvent("renamed", b"{}"), "account-b"),
        (NewEvent("renamed", b"{}"), "nobodys-1"),
        (NewEvent("renamed", b"{}"), "nodash"),
        (NewEvent("deposited", b"not JSON"), "account-b"),
        (NewEvent("deposited", b'{"$type":"deposited","amount":"much"}'), "account-b"),
        (NewEvent("deposited", b"[" * 100_000), "account-b"),
        (NewEvent("deposited", b"not JSON"), "note-n"),
    ],
)
async def test_an_event_that_cannot_be_read_ends_the_slice_and_then_is_a_slice_of_its_own(
    event: NewEvent, stream: str
) -> None:
    bench = Bench()
    async with bench.store:
        await bench.append(DEPOSITED, publish=False)
        await bench.append(event, stream=stream, publish=False)
        await bench.append(DEPOSITED, publish=False)
        bench.feed.advance(3)
        subscription = bench.subscription()
        before = await take(subscription)
        assert (positions(before.events), before.read) == ([1], 1)
        subscription.accept(before.last)
        for _ in range(2):
            fault = (await take(subscription)).fault
            assert fault is not None
            assert (fault.position, fault.stream, fault.version, fault.name) == (2, stream, 1, event.name)


async def test_pages_lead_over_to_the_feed_without_gap_or_double_while_more_is_published() -> None:
    bench = Bench(feed_events_max=4, page_events_max=3)
    async with bench.store:
        for _ in range(10):
            await bench.append(DEPOSITED)
        subscription = bench.subscription()
        seen: list[int] = []
        while len(seen) < 30:
            found = await take(subscription)
            seen += positions(found.events)
            subscription.accept(found.last)
            if bench.feed.head < 30:
                await bench.append(DEPOSITED, DEPOSITED)
        assert seen == list(range(1, 31))


async def test_a_page_that_holds_what_is_not_yet_published_is_not_followed_by_it_again() -> None:
    bench = Bench()
    async with bench.store:
        bench.feed.publish(0, [])
        subscription = bench.subscription()
        await bench.append(DEPOSITED, publish=False)
        bench.feed.advance(1)
        await bench.append(DEPOSITED, DEPOSITED, publish=False)
        found = await take(subscription)
        assert positions(found.events) == [1, 2, 3]
        subscription.accept(found.last)
        await bench.publish(1, 2)
        await bench.append(DEPOSITED)
        assert positions((await take(subscription)).events) == [4]


async def test_a_reader_waits_for_news_and_is_woken_by_a_publication() -> None:
    bench, seen = Bench(), list[int]()
    async with bench.store:
        subscription = bench.subscription()

        async def read() -> None:
            seen.extend(positions((await take(subscription)).events))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            assert seen == []
            await bench.append(DEPOSITED)
        assert seen == [1]


async def test_a_store_that_others_write_to_is_asked_for_news_at_the_interval() -> None:
    bench = Bench(shared=True, poll_interval_s=5)
    async with bench.store:
        subscription = bench.subscription()

        async def write() -> None:
            await anyio.sleep(7)
            await bench.append(DEPOSITED, publish=False)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            started = anyio.current_time()
            assert positions((await take(subscription)).events) == [1]
            assert anyio.current_time() - started == pytest.approx(10)


class CountedStore(MemoryEventStore):
    """Counts the pages read; while one is fetched, something may happen."""

    def __init__(self) -> None:
        super().__init__(shared=True)
        self.pages = 0
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def page(self, after: int, limit: int) -> Sequence[StoredEvent]:
        self.pages += 1
        found = await super().page(after, limit)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return found


async def test_this_processs_own_commits_do_not_make_it_ask_a_shared_store_again() -> None:
    bench = Bench(shared=True, poll_interval_s=3600)
    bench.store = store = CountedStore()
    async with store:
        subscription = bench.subscription()
        for number in range(1, 20):
            await bench.append(DEPOSITED, publish=False)
            before = store.pages
            await bench.publish(number - 1, 1)
            found = await take(subscription)
            subscription.accept(found.last)
            assert positions(found.events) == [number]
            assert store.pages == before + 1, "the one page is the bench's own"


async def test_what_is_published_while_a_poll_finds_nothing_is_taken_from_the_feed() -> None:
    bench = Bench(shared=True)
    bench.store = store = CountedStore()
    async with store:
        subscription = bench.subscription()
        store.meanwhile = lambda: bench.append(DEPOSITED)
        assert positions((await take(subscription)).events) == [1]


async def test_what_others_wrote_between_two_publications_is_read_from_the_store() -> None:
    bench = Bench(shared=True)
    async with bench.store:
        subscription = bench.subscription()
        seen: list[int] = []
        for publish in (True, False, True, False, False, True):
            await bench.append(DEPOSITED, DEPOSITED, publish=publish)
        while len(seen) < 12:
            found = await take(subscription)
            seen += positions(found.events)
            subscription.accept(found.last)
        assert seen == list(range(1, 13))


async def test_a_store_that_hides_what_it_said_it_has_is_an_error_and_no_endless_loop() -> None:
    bench = Bench()
    async with bench.store:
        bench.feed.advance(1)
        with pytest.raises(RuntimeError, match="its head is later"):
            await take(bench.subscription())


def test_the_events_of_these_tests_are_the_ledgers() -> None:
    assert LEDGER.schema.by_name[DEPOSITED.name].decode(DEPOSITED.payload) == Deposited(1)
    assert LEDGER.schema.by_name[NOTE_WRITTEN.name].decode(NOTE_WRITTEN.payload) == NoteWritten()


async def test_an_interruption_ends_the_wait_once_and_takes_nothing_away() -> None:
    bench = Bench()
    async with bench.store:
        subscription = bench.subscription()
        subscription.interrupt()
        assert await subscription.next() is None
        subscription.interrupt()
        await bench.append(DEPOSITED)
        assert positions((await take(subscription)).events) == [1]
        subscription.accept(Checkpoint(1))
        assert await subscription.next() is None
        with anyio.move_on_after(1) as scope:
            await subscription.next()
        assert scope.cancelled_caught


async def test_a_slice_is_live_where_it_reaches_the_end_of_the_store() -> None:
    bench = Bench(feed_events_max=1, page_events_max=2)
    async with bench.store:
        for _ in range(3):
            await bench.append(DEPOSITED, publish=False)
        bench.feed.advance(3)
        subscription = bench.subscription()
        behind = await take(subscription)
        assert (positions(behind.events), behind.is_live) == ([1, 2], False)
        subscription.accept(behind.last)
        level = await take(subscription)
        assert (positions(level.events), level.is_live) == ([3], True)
        subscription.accept(level.last)
        await bench.append(DEPOSITED)
        assert (await take(subscription)).is_live
