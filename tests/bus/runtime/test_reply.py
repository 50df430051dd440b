"""Replies and signals: one answer for one waiter, and a waiter that goes away disturbs nobody."""

import anyio
import pytest

from bus.runtime.reply import ANSWERED, EventReply, Reply, Signal, reply_factory


async def test_a_reply_wakes_its_waiter_with_the_result() -> None:
    reply = reply_factory()()
    assert not reply.done()

    async def answer() -> None:
        await anyio.sleep(1)
        reply.set_result("the answer")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer)
        assert await reply == "the answer"
    assert reply.done()


async def test_a_reply_answered_before_the_wait_returns_at_once() -> None:
    reply = reply_factory()()
    reply.set_result(5)
    assert await reply == 5


async def test_a_reply_whose_waiter_was_cancelled_is_done() -> None:
    reply = reply_factory()()
    with anyio.move_on_after(1):
        await reply
    assert reply.done()


async def test_a_reply_that_nobody_will_wait_for_is_done() -> None:
    reply = reply_factory()()
    reply.cancel()
    assert reply.done()


async def test_the_replies_of_trio_work_on_any_event_loop() -> None:
    reply: Reply = EventReply()
    reply.set_result(5)
    with pytest.raises(AssertionError, match="answered once"):
        reply.set_result(6)
    assert await reply == 5


async def test_replies_are_the_event_loops_own_where_it_has_such(anyio_backend_name: str) -> None:
    assert isinstance(reply_factory()(), EventReply) is (anyio_backend_name == "trio")


async def test_a_signal_set_before_the_wait_is_not_lost() -> None:
    signal = Signal(reply_factory())
    signal.set()
    signal.set()
    await signal.wait()
    with anyio.move_on_after(1) as scope:
        await signal.wait()
    assert scope.cancelled_caught, "two sets before a wait are one"


async def test_a_signal_wakes_who_waits() -> None:
    signal = Signal(reply_factory())
    woken: list[float] = []

    async def wait() -> None:
        for _ in range(2):
            await signal.wait()
            woken.append(anyio.current_time())

    started = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        for _ in range(2):
            await anyio.sleep(1)
            signal.set()
    assert [round(one - started) for one in woken] == [1, 2]


async def test_a_signal_whose_waiter_was_cancelled_serves_the_next() -> None:
    signal = Signal(reply_factory())
    with anyio.move_on_after(1):
        await signal.wait()
    signal.set()
    await signal.wait()


async def test_a_signal_set_while_its_waiter_is_cancelled_is_kept_for_the_next() -> None:
    signal = Signal(reply_factory())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(signal.wait)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        signal.set()
    with anyio.fail_after(1):
        await signal.wait()


async def test_a_signal_has_one_waiter() -> None:
    signal = Signal(reply_factory())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(signal.wait)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(AssertionError, match="one waiter"):
            await signal.wait()
        signal.set()


def test_what_was_answered_is_done_and_takes_no_answer() -> None:
    assert ANSWERED.done()
    assert ANSWERED.cancel() is None
    with pytest.raises(AssertionError, match="answered once"):
        ANSWERED.set_result(None)
    with pytest.raises(AssertionError, match="nobody waits"):
        ANSWERED.__await__()
