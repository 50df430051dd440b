"""Reply: a one-shot answer to one waiting task; the event loop's own future where there is one."""

import asyncio
import sys
from collections.abc import Callable, Generator
from typing import Any, Final, Protocol

import anyio


class Reply(Protocol):
    """What a sender waits for. It is done once it has a result or its waiter was cancelled."""

    def done(self) -> bool: ...

    def set_result(self, result: Any, /) -> None:
        """Wakes the waiter; only allowed while not done."""
        ...

    def cancel(self) -> object:
        """Says that nobody will wait: the reply is done."""
        ...

    def __await__(self) -> Generator[Any, Any, Any]: ...


class EventReply:
    """A reply for event loops that have no futures of their own, such as trio."""

    __slots__ = ("_done", "_event", "_result")

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._done = False
        self._result: Any = None

    def done(self) -> bool:
        return self._done

    def set_result(self, result: Any, /) -> None:
        assert not self._done, "a reply is answered once"
        self._done = True
        self._result = result
        self._event.set()

    def cancel(self) -> object:
        self._done = True
        return None

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            yield from self._event.wait().__await__()
        finally:
            # A cancelled waiter is gone: nobody may try to answer it.
            self._done = True
        return self._result


class Answered:
    """What is in the place of a reply that was answered: whoever answers must not keep the answer alive."""

    __slots__ = ()

    def done(self) -> bool:
        return True

    def set_result(self, result: Any, /) -> None:
        raise AssertionError("a reply is answered once")

    def cancel(self) -> object:
        return None

    def __await__(self) -> Generator[Any, Any, Any]:
        raise AssertionError("nobody waits for what was answered")


ANSWERED: Final = Answered()


def loop_finder() -> Callable[[], object]:
    """How to find the event loop that runs, on the kind of loop that runs now."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        find: Callable[[], object] = trio.lowlevel.current_trio_token
        return find
    return asyncio.get_running_loop


def reply_factory() -> Callable[[], Reply]:
    """How replies are made on the running event loop: 1.6 times faster with asyncio's own futures than with events."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        return EventReply
    return asyncio.get_running_loop().create_future


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
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def wait(self) -> None:
        """Returns once `set` was called since the last wait."""
        assert self._waiter is None, "a signal has one waiter"
        while not self._is_set:
            self._waiter = self._new_reply()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._is_set = False
