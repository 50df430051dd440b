"""Reply: a one-shot answer to one waiting task, at the price of half a future of the event loop's own."""

import asyncio
import sys
from collections.abc import Callable, Generator
from contextvars import Context
from functools import partial
from typing import Any, Final, Protocol

import anyio
import msgspec


class Reply(Protocol):
    """What a sender waits for."""

    is_done: bool
    """Whether it has a result, or its waiter was cancelled; never set from outside."""

    def set_result(self, result: Any, /) -> None:
        """Wakes the waiter; only allowed while not done."""
        ...

    def cancel(self) -> object:
        """Says that nobody will wait: the reply is done."""
        ...

    def __await__(self) -> Generator[Any, Any, Any]: ...


class LoopReply(msgspec.Struct, eq=False):
    """A reply for asyncio: what a task needs of a future, and no more.

    It keeps to the protocol by which asyncio's tasks wait for futures that are not asyncio's own (`asyncio.isfuture`):
    the task looks whose loop it is, gives its own waking as the callback, and asks for the result when it is woken.
    """

    wakings: "Wakings"
    _loop: asyncio.AbstractEventLoop
    is_done: bool = False
    outcome: Any = None
    is_cancelled: bool = False
    message: Any = None
    """What the task was cancelled with; structured cancellation knows its own by it."""
    wake: Callable[[Any], object] | None = None
    context: Context | None = None
    _asyncio_future_blocking: bool = True
    """Asked by a task that was given it to wait for, which then sets it to False; there is one waiter and one wait."""

    def set_result(self, result: Any, /) -> None:
        assert not self.is_done, "a reply is answered once"
        self.is_done = True
        self.outcome = result
        if self.wake is not None:
            wakings = self.wakings
            wakings.due.append(self)
            if len(wakings.due) == 1:
                wakings.schedule()

    def cancel(self, msg: Any = None) -> bool:
        if self.is_done:
            return False
        self.is_cancelled = True
        self.message = msg
        self.set_result(None)
        return True

    def done(self) -> bool:
        """Asked by libraries that look at what a task waits for."""
        return self.is_done

    def add_done_callback(self, wake: Callable[[Any], object], *, context: Context) -> None:
        assert self.wake is None, "a reply has one waiter"
        self.wake = wake
        self.context = context

    def result(self) -> Any:
        if self.is_cancelled:
            raise asyncio.CancelledError() if self.message is None else asyncio.CancelledError(self.message)
        return self.outcome

    def __await__(self) -> Generator[Any, Any, Any]:
        if self.is_done:
            return self.result()
        yield self
        return self.outcome


class Wakings:
    """Wakes the waiters of one event loop, all whose replies were answered in a row in one call.

    With the loop's own futures each takes a call of the loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.due: list[LoopReply] = []
        """Answered, and not yet woken; whoever adds the first one schedules the call."""
        self._is_waking = False
        self.new_reply: Callable[[], LoopReply] = partial(LoopReply, self, self._loop)
        self._answered = self._loop.create_future()
        """What waiters are told is done: a task asks one of its loop's own futures without a call of Python."""
        self._answered.set_result(None)

    def schedule(self) -> None:
        """Has those that are due woken soon."""
        if not self._is_waking:
            self._loop.call_soon(self._wake)

    def spread(self) -> None:
        """Has each that is due woken by a call of its own, for a loop that chooses among its calls."""
        due, self.due = self.due, []
        for reply in due:
            wake, context, reply.wake = reply.wake, reply.context, None
            assert wake is not None, "only a reply with a waiter is due"
            self._loop.call_soon(wake, reply, context=context)

    def _wake(self) -> None:
        """Wakes all that are due, and then whoever these have answered.

        That is as a rule the one dispatcher for whom many senders have left mail: a step of the loop less for each
        turn. Whom he answers is woken by the next call, so that the loop gets to everybody else.
        """
        self._is_waking = True
        self._wake_due()
        self._is_waking = False
        if self.due:
            self._wake_due()

    def _wake_due(self) -> None:
        due, self.due = self.due, []
        waiting = iter(due)
        try:
            for reply in waiting:
                wake, context = reply.wake, reply.context
                # Without it task and reply would keep each other alive.
                reply.wake = None
                assert wake is not None, "only a reply with a waiter is due"
                assert context is not None, "it came with its context"
                context.run(wake, reply if reply.is_cancelled else self._answered)
        except BaseException:
            # An exit of the process passes through here, and even then nobody is left asleep.
            self.due = [*waiting, *self.due]
            self._is_waking = False
            self.schedule()
            raise


class EventReply:
    """A reply for event loops that have no futures of their own, such as trio."""

    __slots__ = ("_event", "_result", "is_done")

    def __init__(self) -> None:
        self._event = anyio.Event()
        self.is_done = False
        self._result: Any = None

    def set_result(self, result: Any, /) -> None:
        assert not self.is_done, "a reply is answered once"
        self.is_done = True
        self._result = result
        self._event.set()

    def cancel(self) -> object:
        self.is_done = True
        return None

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            yield from self._event.wait().__await__()
        finally:
            # A cancelled waiter is gone: nobody may try to answer it.
            self.is_done = True
        return self._result


class Answered:
    """What is in the place of a reply that was answered: whoever answers must not keep the answer alive."""

    is_done: bool = True

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
    """How replies are made on the running event loop."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        return EventReply
    return Wakings().new_reply
