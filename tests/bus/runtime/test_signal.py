"""A signal wakes one task, also at a time that it waits for."""

import anyio
import pytest

from bus.runtime.reply import reply_factory
from bus.runtime.signal import Signal


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


async def test_a_signal_is_waited_for_no_longer_than_to_a_time() -> None:
    signal = Signal(reply_factory())
    started = anyio.current_time()
    for number in range(1, 4):
        await signal.wait(started + number)
        assert round(anyio.current_time() - started, 3) == number


async def test_a_signal_set_before_the_time_wakes_at_once_and_only_once() -> None:
    signal = Signal(reply_factory())
    woken: list[float] = []
    started = anyio.current_time()

    async def wait() -> None:
        for until in (5, 5, 7):
            await signal.wait(started + until)
            woken.append(round(anyio.current_time() - started, 3))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.sleep(1)
        signal.set()
        await anyio.sleep(5)
        signal.set()
    assert woken == [1, 5, 6]


async def test_a_signal_set_at_the_very_time_to_which_it_is_waited_for_is_heard_once() -> None:
    signal = Signal(reply_factory())
    started = anyio.current_time()
    woken: list[float] = []

    async def wait() -> None:
        for until in (1, 3):
            await signal.wait(started + until)
            woken.append(round(anyio.current_time() - started, 3))

    async def set_at(time: float) -> None:
        await anyio.sleep_until(started + time)
        signal.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        tasks.start_soon(set_at, 1)
    # Whichever of the two came first, nobody is left asleep, and nothing is heard that was not said.
    assert woken in ([1, 3], [1, 1])


async def test_a_time_that_has_passed_is_not_waited_for_and_a_signal_that_is_set_is_heard_all_the_same() -> None:
    signal = Signal(reply_factory())
    signal.set()
    await signal.wait(anyio.current_time() - 1)
    started = anyio.current_time()
    await signal.wait(started - 1)
    assert anyio.current_time() == pytest.approx(started)


async def test_who_is_cancelled_while_it_waits_to_a_time_leaves_no_timer() -> None:
    signal = Signal(reply_factory())
    with anyio.move_on_after(1):
        await signal.wait(anyio.current_time() + 2)
    started = anyio.current_time()
    await signal.wait(started + 5)
    assert round(anyio.current_time() - started, 3) == 5


async def test_a_signal_has_one_waiter() -> None:
    signal = Signal(reply_factory())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(signal.wait)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(AssertionError, match="one waiter"):
            await signal.wait()
        signal.set()
