"""Clock: the running event loop's time and the time of day."""

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import anyio


class LoopClock:
    """The event loop's own monotonic time, so that virtual time reaches every deadline."""

    def __init__(self) -> None:
        trio = sys.modules.get("trio")
        on_trio = trio is not None and trio.lowlevel.in_trio_task()
        # A tenth of the price of anyio's look-up; `send` asks once per command.
        self.monotonic: Callable[[], float] = anyio.current_time if on_trio else _time_of(asyncio.get_running_loop())

    def now(self) -> datetime:
        return datetime.now(UTC)


def _time_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The loop's `time`, or where that is asyncio's own, which only calls it, the system's clock itself."""
    return time.monotonic if type(loop).time is asyncio.BaseEventLoop.time else loop.time
