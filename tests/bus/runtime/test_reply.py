"""Replies and signals: one answer for one waiter, and a waiter that goes away disturbs nobody."""

import asyncio
import gc
import weakref
from typing import Any

import anyio
import pytest

from bus.runtime.reply import ANSWERED, EventReply, LoopReply, Reply, reply_factory


async def test_a_reply_wakes_its_waiter_with_the_result() -> None:
    reply = reply_factory()()
    assert not reply.is_done

    async def answer() -> None:
        await anyio.sleep(1)
        reply.set_result("the answer")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer)
        assert await reply == "the answer"
    assert reply.is_done


async def test_a_reply_answered_before_the_wait_returns_at_once() -> None:
    reply = reply_factory()()
    reply.set_result(5)
    assert await reply == 5


async def test_a_reply_whose_waiter_was_cancelled_is_done() -> None:
    reply = reply_factory()()
    with anyio.move_on_after(1):
        await reply
    assert reply.is_done


async def test_a_reply_that_nobody_will_wait_for_is_done() -> None:
    reply = reply_factory()()
    reply.cancel()
    assert reply.is_done


async def test_the_replies_of_trio_work_on_any_event_loop() -> None:
    reply: Reply = EventReply()
    reply.set_result(5)
    with pytest.raises(AssertionError, match="answered once"):
        reply.set_result(6)
    assert await reply == 5


async def test_each_event_loop_has_replies_of_its_kind(anyio_backend_name: str) -> None:
    assert isinstance(reply_factory()(), EventReply if anyio_backend_name == "trio" else LoopReply)


async def test_an_answer_given_in_the_moment_of_the_cancellation_harms_nobody() -> None:
    new_reply = reply_factory()
    reply, other = new_reply(), new_reply()
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            with anyio.CancelScope() as scope:
                scopes.append(scope)
                await reply
            assert await other == "other"

        scopes: list[anyio.CancelScope] = []
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        reply.set_result("late")
        scopes[0].cancel()
        other.set_result("other")


class TestOnAsyncio:
    """What asyncio's tasks, and who cancels them, may expect of a future."""

    def test_replies_answered_in_a_row_wake_their_waiters_in_that_order(self) -> None:
        async def main() -> None:
            new_reply = reply_factory()
            replies = [new_reply() for _ in range(5)]
            woken: list[int] = []

            async def wait(number: int) -> None:
                woken.append(await replies[number])

            tasks = [asyncio.create_task(wait(number)) for number in range(5)]
            await asyncio.sleep(0)
            for number in (3, 1, 4, 0, 2):
                replies[number].set_result(number)
            await asyncio.gather(*tasks)
            assert woken == [3, 1, 4, 0, 2]

        asyncio.run(main())

    def test_a_task_that_is_cancelled_while_it_waits_ends_as_cancelled_with_the_message(self) -> None:
        async def main() -> None:
            reply = reply_factory()()

            async def wait() -> None:
                await reply

            task = asyncio.create_task(wait())
            await asyncio.sleep(0)
            task.cancel("enough")
            with pytest.raises(asyncio.CancelledError, match="enough"):
                await task
            assert (reply.is_done, task.cancelled()) == (True, True)

        asyncio.run(main())

    def test_a_reply_cancelled_before_the_wait_cancels_who_waits_all_the_same(self) -> None:
        async def main() -> None:
            reply = reply_factory()()
            reply.cancel()
            assert reply.cancel() is False
            with pytest.raises(asyncio.CancelledError):
                await reply

        asyncio.run(main())

    def test_a_wait_with_a_time_limit_ends_with_it(self) -> None:
        async def main() -> None:
            reply = reply_factory()()

            async def wait() -> None:
                await reply

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait(), 0.001)
            assert reply.is_done

        asyncio.run(main())

    def test_a_task_of_another_loop_is_refused(self) -> None:
        async def make() -> Reply:
            return reply_factory()()

        async def wait(reply: Reply) -> None:
            with pytest.raises(RuntimeError, match="different loop"):
                await reply

        asyncio.run(wait(asyncio.run(make())))

    def test_a_task_implemented_in_python_waits_as_well(self) -> None:
        made: Any = asyncio.tasks._PyTask  # type: ignore[attr-defined]

        def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> Any:
            return made(coroutine, loop=loop, **more)

        async def main() -> None:
            asyncio.get_running_loop().set_task_factory(factory)
            new_reply = reply_factory()
            first, second = new_reply(), new_reply()

            async def wait() -> object:
                return [await first, await second]

            task = asyncio.create_task(wait())
            await asyncio.sleep(0)
            first.set_result(1)
            await asyncio.sleep(0)
            second.set_result(2)
            assert await task == [1, 2]

        asyncio.run(main())

    def test_an_exit_raised_by_one_waiter_leaves_the_others_awake(self) -> None:
        woken: list[str] = []

        async def main() -> None:
            new_reply = reply_factory()
            replies = {"a": new_reply(), "b": new_reply(), "c": new_reply()}

            async def wait(name: str) -> None:
                await replies[name]
                woken.append(name)
                if name == "a":
                    raise SystemExit(3)

            tasks = [asyncio.create_task(wait(name)) for name in replies]
            await asyncio.sleep(0)
            for reply in replies.values():
                reply.set_result(None)
            await asyncio.gather(*tasks)

        with pytest.raises(SystemExit):
            asyncio.run(main())
        assert woken == ["a"], "the others were cancelled at the loop's end, which waits until they have ended"

    def test_whom_the_woken_answer_wake_in_the_same_step_of_the_loop_and_whom_these_answer_in_the_next(self) -> None:
        async def main() -> None:
            new_reply = reply_factory()
            first, second, third = new_reply(), new_reply(), new_reply()
            steps: dict[str, int] = {}
            step = 0

            def count() -> None:
                nonlocal step
                step += 1
                if len(steps) < 3:
                    asyncio.get_running_loop().call_soon(count)

            async def wait(name: str, reply: Reply, then: Reply | None) -> None:
                await reply
                steps[name] = step
                if then is not None:
                    then.set_result(None)

            tasks = [
                asyncio.create_task(wait("first", first, second)),
                asyncio.create_task(wait("second", second, third)),
                asyncio.create_task(wait("third", third, None)),
            ]
            await asyncio.sleep(0)
            first.set_result(None)
            count()
            await asyncio.gather(*tasks)
            assert {name: when - steps["first"] for name, when in steps.items()} == {
                "first": 0,
                "second": 0,
                "third": 1,
            }

        asyncio.run(main())

    def test_an_exit_raised_by_whom_the_woken_answered_leaves_the_others_awake(self) -> None:
        woken: list[str] = []

        async def main() -> None:
            new_reply = reply_factory()
            replies = {"a": new_reply(), "b": new_reply(), "c": new_reply()}

            async def wait(name: str) -> None:
                await replies[name]
                woken.append(name)
                if name == "a":
                    replies["b"].set_result(None)
                    replies["c"].set_result(None)
                if name == "b":
                    raise SystemExit(3)

            tasks = [asyncio.create_task(wait(name)) for name in replies]
            await asyncio.sleep(0)
            replies["a"].set_result(None)
            await asyncio.gather(*tasks, return_exceptions=True)

        with pytest.raises(SystemExit):
            asyncio.run(main())
        assert woken == ["a", "b"], "the last was cancelled at the loop's end, which waits until it has ended"

    def test_a_reply_keeps_nobody_alive_once_it_was_given(self) -> None:
        async def main() -> None:
            reply = reply_factory()()

            async def wait() -> None:
                await reply

            task = asyncio.create_task(wait())
            await asyncio.sleep(0)
            reply.set_result(None)
            await task
            # The loop itself holds what it calls, and here that is the end of this task.
            await asyncio.sleep(0)
            gone = weakref.ref(task)
            gc.disable()
            try:
                del task
                assert gone() is None
            finally:
                gc.enable()

        asyncio.run(main())


def test_what_was_answered_is_done_and_takes_no_answer() -> None:
    assert ANSWERED.is_done
    assert ANSWERED.cancel() is None
    with pytest.raises(AssertionError, match="answered once"):
        ANSWERED.set_result(None)
    with pytest.raises(AssertionError, match="nobody waits"):
        ANSWERED.__await__()
