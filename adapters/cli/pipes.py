"""Pipes: reads and writes file descriptors of any kind from threads, so that the event loop never waits for them."""

import asyncio
import os
import select
import threading
from typing import Final

import anyio
from anyio import to_thread

CHUNK_BYTES: Final = 64 * 1024
"""What a pipe holds by default on Linux."""
_CHUNKS_AHEAD: Final = 2
"""Chunks read but not yet asked for, so that reading goes on while the last chunk is worked on."""


class Input:
    """A file descriptor read in chunks, by a thread of its own.

    Files, pipes and terminals are all read in this way: the event loop cannot watch files, and to make a terminal
    non-blocking would do so for every program on it. A read cannot be interrupted, so the thread is a daemon: at the
    end of the process it may still be waiting.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._wanted = threading.Semaphore(_CHUNKS_AHEAD)
        self._chunks: asyncio.Queue[bytes | OSError] = asyncio.Queue()
        threading.Thread(target=self._run, name="doubledecker-input", daemon=True).start()

    async def read(self) -> bytes:
        """The next chunk, empty at the end of the input; not to be called again after that. Raises `OSError`."""
        chunk = await self._chunks.get()
        self._wanted.release()
        if isinstance(chunk, OSError):
            raise chunk
        return chunk

    def _run(self) -> None:
        while True:
            self._wanted.acquire()
            chunk: bytes | OSError
            try:
                chunk = read_some(self._descriptor)
            except OSError as error:
                chunk = error
            try:
                self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
            except RuntimeError:
                return  # The loop is closed: nobody reads any more.
            if not chunk or isinstance(chunk, OSError):
                return


class Output:
    """A file descriptor written whole chunks at a time; one writer at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._limiter = anyio.CapacityLimiter(1)

    async def write(self, data: bytes) -> None:
        """Returns when all is written, however slow the reader is. Raises `OSError`."""
        await to_thread.run_sync(write_all, self._descriptor, data, limiter=self._limiter)


def read_some(descriptor: int) -> bytes:
    """Waits for the next bytes; none at the end. Raises `OSError`."""
    while True:
        try:
            return os.read(descriptor, CHUNK_BYTES)
        except BlockingIOError:
            # Whoever started this process made the other end's description non-blocking, and ours with it.
            select.select([descriptor], [], [])


def write_all(descriptor: int, data: bytes) -> None:
    """Returns when everything is written. Raises `OSError`."""
    remaining = memoryview(data)
    while remaining:
        try:
            remaining = remaining[os.write(descriptor, remaining) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
