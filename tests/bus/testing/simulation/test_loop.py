"""The simulated loop: time that jumps, tasks in an order that a seed decides, and an end without a word."""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from bus.runtime.reply import reply_factory
from bus.testing.simulation.loop import Process, SimulatedLoop, Stuck, simulated_loop


def loop(seed: int = 1) -> SimulatedLoop:
    return simulated_loop(Random(seed), 100.0)


def never() -> bool:
    return False


def test_time_stands_still_until_everybody_waits_and_then_jumps() -> None:
    async def main() -> list[float]:
        times = [anyio.current_time()]
        await anyio.lowlevel.checkpoint()
        times.append(anyio.current_time())
        with anyio.move_on_after(3):
            await anyio.sleep_forever()
        return [*times, anyio.current_time()]

    assert loop().run(main(), never) == [100.0, 100.0, 103.0]


async def order(count: int = 6) -> str:
    """Who of some tasks that are all ready runs first."""
    came: list[str] = []

    async def come(name: str) -> None:
        came.append(name)

    async with anyio.create_task_group() as tasks:
        for name in "abcdef"[:count]:
            tasks.start_soon(come, name)
    return "".join(came)


def test_ready_tasks_run_in_an_order_that_the_seed_decides() -> None:
    orders = [loop(seed).run(order(), never) for seed in range(20)]
    assert orders == [loop(seed).run(order(), never) for seed in range(20)]
    assert len(set(orders)) > 10


def test_callbacks_run_in_the_order_in_which_they_were_asked_for() -> None:
    called: list[int] = []

    async def main() -> None:
        running = asyncio.get_running_loop()
        for number in range(5):
            running.call_soon(called.append, number)
        cancelled = running.call_soon(called.append, 99)
        cancelled.cancel()
        assert cancelled.cancelled()
        running.call_later(2, called.append, 6)
        running.call_later(1, called.append, 5)
        await asyncio.sleep(3)

    for seed in range(5):
        called.clear()
        loop(seed).run(main(), never)
        assert called == [0, 1, 2, 3, 4, 5, 6]


def test_whoever_is_answered_together_is_woken_as_chance_has_it() -> None:
    async def main() -> str:
        new_reply = reply_factory()
        replies = {name: new_reply() for name in "abcdef"}
        woken: list[str] = []

        async def wait(name: str) -> None:
            woken.append(await replies[name])

        async with anyio.create_task_group() as tasks:
            for name in replies:
                tasks.start_soon(wait, name)
            await anyio.sleep(1)
            for name, reply in replies.items():
                reply.set_result(name)
        return "".join(woken)

    orders = [loop(seed).run(main(), never) for seed in range(20)]
    assert orders == [loop(seed).run(main(), never) for seed in range(20)]
    assert len(set(orders)) > 10
    assert {"".join(sorted(one or "")) for one in orders} == {"abcdef"}


def test_tasks_that_wait_for_each_other_are_told() -> None:
    async def main() -> None:
        await anyio.Event().wait()

    stuck = loop()
    with pytest.raises(Stuck, match="no timer"):
        stuck.run(main(), never)
    stuck.abandon()


def test_an_exception_of_the_main_task_is_raised_and_one_of_a_callback_noted() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(int, "one")
        await asyncio.sleep(1)
        raise ZeroDivisionError

    running = loop()
    with pytest.raises(ZeroDivisionError):
        running.run(main(), never)
    assert len(running.faults) == 1
    assert "invalid literal" in running.faults[0]


@pytest.mark.filterwarnings("error")
def test_an_end_at_any_step_leaves_every_task_where_it_was() -> None:
    for last in range(1, 60):
        finished: list[str] = []
        cleaned: list[str] = []

        async def work(name: str, finished: list[str] = finished, cleaned: list[str] = cleaned) -> None:
            try:
                for _ in range(3):
                    await anyio.sleep(1)
                finished.append(name)
            finally:
                # Even who wants to wait on the way out does so no more.
                cleaned.append(name)
                await anyio.sleep(1)
                finished.append(f"{name} cleaned up")

        async def main() -> str:
            async with anyio.create_task_group() as tasks:
                for name in "abc":
                    tasks.start_soon(work, name)
            return "done"

        running = loop(last)

        def is_over(running: SimulatedLoop = running, last: int = last) -> bool:
            return running.steps == last

        result = running.run(main(), is_over)
        before = list(finished)
        running.abandon()
        assert finished == before, "nobody goes on after the end"
        if result == "done":
            assert len(finished) == 6
            return
    pytest.fail("it never came to its end")


def beating(beats: list[str], name: str) -> Coroutine[Any, Any, None]:
    """Says once a second that it lives, by a task and by a timer of its own."""

    async def beat() -> None:
        running = asyncio.get_running_loop()
        for _ in range(10):
            running.call_later(0.5, beats.append, f"{name} timer")
            await anyio.sleep(1)
            beats.append(f"{name} {anyio.current_time() - 100:.0f}")

    return beat()


def begun(running: SimulatedLoop, beats: list[str], *names: str) -> list[Process]:
    processes = [Process(name) for name in names]
    for process in processes:
        with running.within(process):
            running.create_task(beating(beats, process.name))
    return processes


def test_a_process_that_is_held_stands_still_and_all_comes_at_once_when_it_goes_on() -> None:
    beats: list[str] = []

    async def main() -> None:
        first, second = begun(running, beats, "a", "b")
        await anyio.sleep(2.2)
        running.hold(first)
        beats.clear()
        await anyio.sleep(3)
        assert not [beat for beat in beats if beat.startswith("a")]
        assert [beat for beat in beats if "timer" not in beat] == ["b 3", "b 4", "b 5"]
        running.let_go(first)
        beats.clear()
        await anyio.sleep(1.2)
        # Its timer and its sleep were over long ago; the next ones begin now.
        assert [beat for beat in beats if beat.startswith("a")] == ["a timer", "a 5", "a timer", "a 6"]
        assert first.steps < second.steps

    running = loop()
    running.run(main(), never)
    running.abandon()


def test_what_others_promise_to_a_process_that_is_held_waits_for_it() -> None:
    async def main() -> list[str]:
        promise: asyncio.Future[str] = running.create_future()
        told: list[str] = []

        async def wait() -> None:
            told.append(await promise)

        process = Process("a")
        with running.within(process):
            running.create_task(wait())
        await anyio.sleep(1)
        running.hold(process)
        promise.set_result("kept")
        await anyio.sleep(1)
        assert told == []
        running.let_go(process)
        await anyio.sleep(1)
        return told

    running = loop()
    assert running.run(main(), never) == ["kept"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("is_held", [False, True])
def test_a_process_that_is_ended_leaves_nothing_and_the_others_go_on(is_held: bool) -> None:
    beats: list[str] = []

    async def main() -> None:
        first, _ = begun(running, beats, "a", "b")
        await anyio.sleep(2.2)
        if is_held:
            running.hold(first)
        running.end(first, lambda: running.call_soon(beats.append, "a's last"))
        beats.clear()
        await anyio.sleep(20)

    running = loop()
    running.run(main(), never)
    assert [beat for beat in beats if "timer" not in beat] == [f"b {second}" for second in range(3, 11)]
    assert not [beat for beat in beats if beat.startswith("a")]
    assert running.faults == []


def test_there_may_be_an_event_loop_around_it() -> None:
    async def outside() -> str | None:
        inside = loop().run(order(), never)
        assert asyncio.get_running_loop() is not None
        await asyncio.sleep(0)
        return inside

    assert asyncio.run(outside()) == loop().run(order(), never)
