"""Reading ahead: the next page is read while the one before it is worked on, and nobody depends on it."""

from collections.abc import Sequence

import anyio
import pytest

from bus import MemoryEventStore
from bus.core.stored import StoredEvent
from bus.read.subscription import Slice, Subscription
from tests.support.subscribing import DEPOSITED, Bench, positions


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


async def test_pages_are_read_while_the_one_before_them_is_worked_on() -> None:
    bench, store = told_bench()
    async with store, anyio.create_task_group() as tasks:
        subscription = await behind(bench, 11)
        subscription.read_ahead_in(tasks)
        found = [await subscription.next()]
        await anyio.wait_all_tasks_blocked()
        assert store.asked == [0, 2, 4, 6], "three, and no more while nobody takes one"
        for _ in range(5):
            assert found[-1] is not None
            subscription.accept(found[-1].last)
            found.append(await subscription.next())
        await anyio.wait_all_tasks_blocked()
        pages = [positions(one.events) for one in found if one is not None]
        assert pages == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11]]
        assert store.asked == [0, 2, 4, 6, 8, 10]


async def test_pages_that_follow_are_worked_on_before_they_are_given_as_long_as_more_are_wanted() -> None:
    bench, store = told_bench()
    async with store, anyio.create_task_group() as tasks:
        subscription = await behind(bench, 10)
        subscription.read_ahead_in(tasks)
        first = await subscription.next()
        assert first is not None
        seen: list[Slice] = []

        async def work(page: Slice) -> bool:
            seen.append(page)
            return len(seen) < 2

        await subscription.work_ahead(first.last, work)
        await anyio.wait_all_tasks_blocked()
        assert [positions(page.events) for page in seen] == [[3, 4], [5, 6]]
        subscription.accept(first.last)
        assert await subscription.next() is seen[0]


async def test_work_ahead_ends_where_other_work_is_wanted() -> None:
    bench, store = told_bench()
    async with store, anyio.create_task_group() as tasks:
        subscription = await behind(bench, 10)
        subscription.read_ahead_in(tasks)
        first = await subscription.next()
        assert first is not None
        seen: list[str] = []

        async def work(page: Slice) -> bool:
            seen.append("work")
            await go_on.wait()
            return True

        async def other(page: Slice) -> bool:
            seen.append("other")
            return False

        go_on = anyio.Event()
        await subscription.work_ahead(first.last, work)
        await anyio.wait_all_tasks_blocked()
        await subscription.work_ahead(first.last, other)
        go_on.set()
        await anyio.wait_all_tasks_blocked()
        assert seen == ["work", "other"]


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
