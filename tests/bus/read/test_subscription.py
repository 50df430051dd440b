"""Subscription: every event once and in order, from pages or feed; decoded only where it is of interest."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import anyio
import pytest

from bus import Event, Limits, MemoryEventStore, Recorded
from bus.core.stored import Append, Checkpoint, NewEvent, StoredEvent
from bus.read.subscription import Slice, Subscription
from bus.runtime.feed import Feed
from bus.runtime.reply import reply_factory
from tests.support.ledger import LEDGER, Deposited, NoteWritten

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
DEPOSITED = NewEvent("deposited", b'{"$type":"deposited","amount":1}')
NOTE_WRITTEN = NewEvent("note-written", b'{"$type":"note-written"}')


class Bench:
    """A store, a feed and one subscription to deposits."""

    def __init__(self, *, shared: bool = False, feed_events_max: int = 100, **limits: float) -> None:
        self.store = MemoryEventStore(shared=shared)
        self.feed = Feed(feed_events_max)
        self.limits = Limits(**limits)  # type: ignore[arg-type]
        self._versions: dict[str, int] = {}

    def subscription(self, after: int = 0, *, foreign: frozenset[str] = frozenset({"note"})) -> Subscription:
        return Subscription(
            Checkpoint(after),
            [Deposited],
            foreign,
            store=self.store,
            schema=LEDGER.schema,
            feed=self.feed,
            new_reply=reply_factory(),
            limits=self.limits,
        )

    async def append(self, *events: NewEvent, stream: str = "account-a", publish: bool = True) -> int:
        """Appends as a bus would (or, if it is not published, another writer); returns the last position."""
        version = self._versions.get(stream, 0)
        entry = Append(stream, version, events, f"{stream} {version}", b"")
        appended = await self.store.append([entry], NOON)
        self._versions[stream] = version + len(events)
        if publish:
            await self.publish(appended.position_before, len(events))
        return appended.position_before + len(events)

    async def publish(self, before: int, count: int) -> None:
        self.feed.publish(
            before,
            [recorded for one in await self.store.page(before, count) for recorded in LEDGER.schema.recorded(one)],
        )


def positions(events: Sequence[Recorded[Event]]) -> list[int]:
    return [one.position for one in events]


async def take(subscription: Subscription) -> Slice:
    """The next slice, or a failed test where it does not come."""
    with anyio.fail_after(60):
        found = await subscription.next()
    assert found is not None
    return found


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


class Told(MemoryEventStore):
    """Notes what it is asked for, and fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.fails = False

    async def page(self, after: int, limit: int) -> Sequence[StoredEvent]:
        self.asked.append(after)
        if self.fails:
            raise OSError("down")
        return await super().page(after, limit)


def told_bench() -> tuple[Bench, Told]:
    bench, store = Bench(page_events_max=2), Told()
    bench.store = store
    return bench, store


async def behind(bench: Bench, count: int) -> Subscription:
    """A reader of pages of two events, all of which lie before the feed's window."""
    for _ in range(count):
        await bench.append(DEPOSITED, publish=False)
    bench.feed.advance(count)
    return bench.subscription()


async def test_a_page_is_read_while_the_one_before_it_is_worked_on() -> None:
    bench, store = told_bench()
    async with store, anyio.create_task_group() as tasks:
        subscription = await behind(bench, 5)
        subscription.read_ahead_in(tasks)
        found = [await subscription.next()]
        await anyio.wait_all_tasks_blocked()
        assert store.asked == [0, 2]
        for _ in range(2):
            assert found[-1] is not None
            subscription.accept(found[-1].last)
            found.append(await subscription.next())
        await anyio.wait_all_tasks_blocked()
        assert [positions(one.events) for one in found if one is not None] == [[1, 2], [3, 4], [5]]
        assert store.asked == [0, 2, 4]


async def test_a_page_that_could_not_be_read_ahead_is_read_when_it_is_asked_for() -> None:
    bench, store = told_bench()
    async with store, anyio.create_task_group() as tasks:
        subscription = await behind(bench, 4)
        subscription.read_ahead_in(tasks)
        first = await subscription.next()
        assert first is not None
        store.fails = True
        await anyio.wait_all_tasks_blocked()
        subscription.accept(first.last)
        with pytest.raises(OSError, match="down"):
            await subscription.next()
        store.fails = False
        second = await subscription.next()
        assert second is not None
        assert positions(second.events) == [3, 4]


async def test_what_was_read_ahead_is_of_no_use_to_who_goes_on_elsewhere_or_wants_less() -> None:
    bench, store = told_bench()
    async with store, anyio.create_task_group() as tasks:
        subscription = await behind(bench, 6)
        subscription.read_ahead_in(tasks)
        first = await subscription.next()
        await anyio.wait_all_tasks_blocked()
        again = await subscription.next()
        assert first is not None
        assert again is not None
        assert positions(first.events) == positions(again.events) == [1, 2]
        await anyio.wait_all_tasks_blocked()
        subscription.accept(again.last)
        one = await subscription.next(until=3)
        assert one is not None
        assert positions(one.events) == [3]


async def test_nobody_waits_for_what_an_earlier_group_of_tasks_was_to_read() -> None:
    bench, store = told_bench()
    async with store:
        subscription = await behind(bench, 4)
        async with anyio.create_task_group() as tasks:
            subscription.read_ahead_in(tasks)
            first = await subscription.next()
            tasks.cancel_scope.cancel()
        assert first is not None
        subscription.accept(first.last)
        async with anyio.create_task_group() as tasks:
            subscription.read_ahead_in(tasks)
            with anyio.fail_after(5):
                second = await subscription.next()
        assert second is not None
        assert positions(second.events) == [3, 4]
