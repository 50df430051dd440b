"""A thread that owns one resource and runs jobs on it, at the price of one hop there and back for each job."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import anyio

from bus.core.errors import StoreUnavailable, Unusable


class Closable(Protocol):
    """What can be owned."""

    def close(self) -> None:
        """Frees it; called once, in the owning thread."""
        ...


R = TypeVar("R", bound=Closable)
T = TypeVar("T")

_Job = tuple["asyncio.Future[Any]", Callable[[], Any] | None]
"""Who waits, and for what; None asks to close."""


class OwnerThread(Generic[R]):
    """Opens a resource in a thread of its own, where it also runs and closes it; one at a time, in the order asked.

    aiosqlite takes a hop for each statement; this takes one for a whole transaction.
    """

    def __init__(self, name: str, url: str) -> None:
        self._name = name
        self._url = url
        self._jobs: queue.SimpleQueue[_Job] | None = None

    async def start(self, open_resource: Callable[[], R]) -> R:
        """Opens the resource; if that raises, or the caller is cancelled, nothing stays behind."""
        loop = running_loop(self._url)
        opened: asyncio.Future[R] = loop.create_future()
        jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        # A daemon, so that an interpreter that ends without closing the store does not wait for ever.
        thread = threading.Thread(target=_serve, args=(loop, jobs, opened, open_resource), name=self._name, daemon=True)
        thread.start()
        try:
            await finished(opened)
        except BaseException:
            if opened.exception() is None:
                await _close(jobs, thread)
            raise
        resource = opened.result()
        self._jobs, self._thread = jobs, thread
        return resource

    async def run(self, job: Callable[[], T]) -> T:
        """The job's result. One that was cancelled while it waited here may still be run."""
        if self._jobs is None:
            raise StoreUnavailable(f"{self._url} is not open: use it inside `async with`", store=self._url)
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put((done, job))
        return await done

    async def stop(self) -> None:
        """Runs what is queued, closes the resource and ends the thread."""
        if self._jobs is None:
            return
        jobs, self._jobs = self._jobs, None
        await _close(jobs, self._thread)


def running_loop(url: str) -> asyncio.AbstractEventLoop:
    """The event loop; raises `Unusable` under another backend."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError as error:
        raise Unusable(
            f"{url}: the SQLite stores need asyncio; run the bus under asyncio, or use the stores in bus.memory",
            store=url,
        ) from error


async def finished(*futures: "asyncio.Future[Any]") -> None:
    """Returns when all are done, whoever cancels the caller meanwhile; a task that was cancelled is so only then.

    A shielded scope alone keeps `asyncio.Task.cancel` from nothing, and so neither the end of `asyncio.run`.
    """
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while waiting := [future for future in futures if not future.done()]:
            try:
                await asyncio.wait(waiting)
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled


async def _close(jobs: "queue.SimpleQueue[_Job]", thread: threading.Thread) -> None:
    closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    jobs.put((closed, None))
    try:
        await finished(closed)
    finally:
        thread.join()
    closed.result()


def _serve(
    loop: asyncio.AbstractEventLoop,
    jobs: "queue.SimpleQueue[_Job]",
    opened: "asyncio.Future[R]",
    open_resource: Callable[[], R],
) -> None:
    try:
        resource = open_resource()
    except BaseException as error:
        _answer(loop, opened, None, error)
        return
    _answer(loop, opened, resource, None)
    del opened
    while True:
        done, job = jobs.get()
        result, failure = None, None
        try:
            result = resource.close() if job is None else job()
        except BaseException as error:
            failure = error
        _answer(loop, done, result, failure)
        if job is None:
            return
        # What is waited for next must not keep the last batch alive.
        del done, job, result, failure


def _answer(
    loop: asyncio.AbstractEventLoop, done: "asyncio.Future[Any]", result: Any, error: BaseException | None
) -> None:
    try:
        loop.call_soon_threadsafe(_settle, done, result, error)
    except RuntimeError:
        # The loop is closed: nobody waits any more.
        return


def _settle(done: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if done.cancelled():
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)
