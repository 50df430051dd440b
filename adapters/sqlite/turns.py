"""Turns on the thread that owns a connection: a transaction that awaits between its statements has it to itself."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from adapters.sqlite.thread import OwnerThread, R

T = TypeVar("T")


class Turns(Generic[R]):
    """The thread as others use it: job by job, of which none comes between those of who has it alone."""

    def __init__(self, thread: OwnerThread[R]) -> None:
        self._thread = thread
        self._is_free = asyncio.Event()
        self._is_free.set()

    async def start(self, open_resource: Callable[[], R]) -> R:
        """See `OwnerThread`."""
        return await self._thread.start(open_resource)

    async def stop(self) -> None:
        """See `OwnerThread`; waits until nobody has it alone."""
        async with self.alone():
            await self._thread.stop()

    async def run(self, job: Callable[[], T]) -> T:
        """The job's result, as of `OwnerThread.run`; waits while somebody has the thread alone."""
        await self._free()
        return await self._thread.run(job)

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[OwnerThread[R]]:
        """The thread, for one user, behind whatever was asked of it before."""
        await self._free()
        self._is_free.clear()
        try:
            yield self._thread
        finally:
            # Those that wait have their turns in the order in which they came.
            self._is_free.set()

    async def _free(self) -> None:
        while not self._is_free.is_set():
            await self._is_free.wait()
