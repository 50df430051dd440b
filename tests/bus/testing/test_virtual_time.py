"""Virtual time passes only while every task waits, and then at once."""

import time

import anyio
import pytest

from bus.testing import virtual_time

DAY_S = 86_400.0
ON_BOTH = pytest.mark.parametrize("name", ["asyncio", "trio"])


def run(name: str, *sleeps: float) -> tuple[float, list[float]]:
    """Sleeps at the same time on a new loop; returns how long that took there, and who woke up in which order."""
    woken: list[float] = []

    async def sleep(seconds: float) -> None:
        await anyio.sleep(seconds)
        woken.append(seconds)

    async def main() -> float:
        started = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for seconds in sleeps:
                tasks.start_soon(sleep, seconds)
        return anyio.current_time() - started

    name, options = virtual_time.backend(name)
    return anyio.run(main, backend=name, backend_options=options), woken


@ON_BOTH
def test_a_day_passes_at_once_and_sleepers_wake_in_order(name: str) -> None:
    before = time.monotonic()
    passed, woken = run(name, DAY_S, 1.0, 3600.0)
    assert passed == pytest.approx(DAY_S)
    assert woken == [1.0, 3600.0, DAY_S]
    assert time.monotonic() - before < 60


@ON_BOTH
def test_a_deadline_passes_before_a_longer_sleep_is_over(name: str) -> None:
    async def main() -> bool:
        with anyio.move_on_after(30) as scope:
            await anyio.sleep(31)
        return scope.cancelled_caught

    name, options = virtual_time.backend(name)
    assert anyio.run(main, backend=name, backend_options=options)


def test_the_time_of_an_asyncio_loop_begins_at_zero() -> None:
    loop = virtual_time.VirtualLoop()
    assert loop.time() == 0.0
    loop.close()


def test_another_thread_is_waited_for_where_nothing_else_can_happen() -> None:
    async def main() -> str:
        return await anyio.to_thread.run_sync(lambda: "done")

    name, options = virtual_time.backend()
    assert anyio.run(main, backend=name, backend_options=options) == "done"


def test_tasks_that_wait_for_each_other_beside_a_timer_are_told() -> None:
    async def main() -> None:
        for _ in range(11):
            await anyio.sleep(virtual_time.LONGEST_S / 10)

    name, options = virtual_time.backend()
    with pytest.raises(AssertionError, match="wait for each other"):
        anyio.run(main, backend=name, backend_options=options)


def test_there_is_no_virtual_time_on_other_loops() -> None:
    with pytest.raises(ValueError, match="not on 'curio'"):
        virtual_time.backend("curio")
