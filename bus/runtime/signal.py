"""Signal: wakes one task that waits for something to do, or for a time."""

import asyncio
import math
from collections.abc import Callable
from typing import Final

import anyio

from bus.runtime.reply import LoopReply, Reply


class Signal:
    """Wakes one task; set before the wait, the wait returns at once."""

    __slots__ = ("_is_set", "_new_reply", "_waiter")

    def __init__(self, new_reply: Callable[[], Reply]) -> None:
        self._new_reply = new_reply
        self._is_set = False
        self._waiter: Reply | None = None

    def set(self) -> None:
        self._is_set = True
        waiter = self._waiter
        if waiter is not None and not waiter.is_done:
            waiter.set_result(None)

    async def wait(self, until: float = math.inf) -> None:
        """Returns once `set` was called since the last wait, or at that time on the loop's clock.

        To run into that time costs a timer and no cancellation, so that whoever looks again and again may wait here.
        """
        assert self._waiter is None, "a signal has one waiter"
        is_late = False
        while not self._is_set and not is_late:
            waiter = self._waiter = self._new_reply()
            try:
                is_late = await (waiter if until == math.inf else _answered(waiter, until)) is _LATE
            finally:
                self._waiter = None
        self._is_set = False


_LATE: Final = object()
"""The answer of the clock."""


async def _answered(reply: Reply, deadline: float) -> object:
    """The answer; at the deadline, if nobody has given one before, it is `_LATE`."""
    if not isinstance(reply, LoopReply):
        with anyio.CancelScope(deadline=deadline):
            return await reply
        return _LATE
    timer = asyncio.get_running_loop().call_at(deadline, _be_late, reply)
    try:
        return await reply
    finally:
        timer.cancel()


def _be_late(reply: LoopReply) -> None:
    if not reply.is_done:
        reply.set_result(_LATE)
