"""Clock: the running event loop's time and the time of day."""

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import anyio


class LoopClock:
    """The event loop's own monotonic time, so that virtual time reaches every deadline."""

    def __init__(self) -> None:
        trio = sys.modules.get("trio")
        on_trio = trio is not None and trio.lowlevel.in_trio_task()
        # A tenth of the price of anyio's look-up; `send` asks once per command.
        self.monotonic: Callable[[], float] = anyio.current_time if on_trio else asyncio.get_running_loop().time

    def now(self) -> datetime:
        return datetime.now(UTC)
