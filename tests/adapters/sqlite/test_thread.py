"""The thread that owns a resource: order, errors, cancellation, and that it always ends."""

import asyncio
import threading
from collections.abc import Callable

import anyio
import pytest

from adapters.sqlite.thread import OwnerThread
from bus.core.errors import StoreUnavailable, Unusable


class Resource:
    """Tells where it was opened and closed."""

    def __init__(self) -> None:
        self.opened_by = threading.get_ident()
        self.closed_by: int | None = None

    def close(self) -> None:
        assert self.closed_by is None
        self.closed_by = threading.get_ident()


async def test_one_thread_opens_runs_and_closes() -> None:
    thread = OwnerThread[Resource]("owner", "url")
    resource = await thread.start(Resource)
    assert await thread.run(threading.get_ident) == resource.opened_by != threading.get_ident()
    await thread.stop()
    assert resource.closed_by == resource.opened_by


async def test_jobs_run_in_the_order_asked() -> None:
    thread = OwnerThread[Resource]("owner", "url")
    await thread.start(Resource)
    done: list[int] = []

    def job(number: int) -> Callable[[], None]:
        return lambda: done.append(number)

    await asyncio.gather(*[thread.run(job(number)) for number in range(20)])
    assert done == list(range(20))
    await thread.stop()


async def test_an_error_reaches_the_caller_and_the_thread_goes_on() -> None:
    thread = OwnerThread[Resource]("owner", "url")
    await thread.start(Resource)
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 // 0)
    assert await thread.run(lambda: 7) == 7
    await thread.stop()


async def test_a_resource_that_cannot_be_opened_leaves_nothing() -> None:
    thread = OwnerThread[Resource]("owner", "url")

    def fail() -> Resource:
        raise KeyError("why")

    with pytest.raises(KeyError, match="why"):
        await thread.start(fail)
    with pytest.raises(StoreUnavailable):
        await thread.run(lambda: 7)
    await thread.stop()


async def test_a_caller_that_gives_up_leaves_the_job_to_finish() -> None:
    thread = OwnerThread[Resource]("owner", "url")
    await thread.start(Resource)
    go, done = threading.Event(), threading.Event()

    def job() -> None:
        go.wait()
        done.set()

    with anyio.CancelScope() as scope:
        scope.cancel()
        await thread.run(job)
    assert scope.cancelled_caught
    go.set()
    assert await thread.run(done.is_set)
    await thread.stop()


async def test_stopping_finishes_what_is_queued() -> None:
    thread = OwnerThread[Resource]("owner", "url")
    await thread.start(Resource)
    queued = asyncio.ensure_future(thread.run(lambda: 7))
    await anyio.lowlevel.checkpoint()
    await thread.stop()
    assert await queued == 7


async def test_stopping_is_not_interrupted_by_cancellation() -> None:
    thread = OwnerThread[Resource]("owner", "url")
    resource = await thread.start(Resource)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await thread.stop()
    assert resource.closed_by is not None


async def test_opening_under_cancellation_closes_again() -> None:
    thread = OwnerThread[Resource]("owner", "url")
    resources: list[Resource] = []
    go = threading.Event()

    def opening() -> Resource:
        go.wait()
        resources.append(Resource())
        return resources[0]

    task = asyncio.ensure_future(thread.start(opening))
    await anyio.lowlevel.checkpoint()
    task.cancel()
    await anyio.lowlevel.checkpoint()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert resources[0].closed_by is not None


async def test_a_failing_opening_under_cancellation_is_cancelled() -> None:
    thread = OwnerThread[Resource]("owner", "url")
    go = threading.Event()

    def opening() -> Resource:
        go.wait()
        raise KeyError

    task = asyncio.ensure_future(thread.start(opening))
    await anyio.lowlevel.checkpoint()
    task.cancel()
    await anyio.lowlevel.checkpoint()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_whoever_is_cancelled_while_stopping_has_stopped_it() -> None:
    thread = OwnerThread[Resource]("owner", "url")
    resource = await thread.start(Resource)
    go = threading.Event()
    running = asyncio.ensure_future(thread.run(go.wait))
    task = asyncio.ensure_future(thread.stop())
    for _ in range(3):
        await anyio.lowlevel.checkpoint()
        task.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert resource.closed_by is not None
    assert await running


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_another_event_loop_is_told_what_to_do(anyio_backend: str) -> None:
    with pytest.raises(Unusable, match="need asyncio"):
        await OwnerThread[Resource]("owner", "url").start(Resource)
