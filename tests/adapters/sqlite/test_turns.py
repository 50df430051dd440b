"""Turns: who has the thread alone is not come between, and those that wait have it in the order in which they came."""

import asyncio
from collections.abc import Callable

import anyio
import pytest

from adapters.sqlite.thread import OwnerThread
from adapters.sqlite.turns import Turns
from bus.core.errors import StoreUnavailable


class Resource:
    """Something to own."""

    def close(self) -> None:
        """Nothing is to be freed."""


async def opened() -> Turns[Resource]:
    turns = Turns(OwnerThread[Resource]("owner", "url"))
    await turns.start(Resource)
    return turns


def noting(done: list[str], what: str) -> Callable[[], None]:
    return lambda: done.append(what)


async def test_jobs_run_while_nobody_has_the_thread_alone() -> None:
    turns = await opened()
    assert await turns.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await turns.run(lambda: 1 // 0)
    await turns.stop()
    with pytest.raises(StoreUnavailable, match="not open"):
        await turns.run(lambda: 7)


async def test_who_has_it_alone_is_not_come_between_and_the_others_follow_in_order() -> None:
    turns, done = await opened(), list[str]()

    async def job(what: str) -> None:
        await turns.run(noting(done, what))

    async def alone(what: str) -> None:
        async with turns.alone() as thread:
            for step in range(3):
                await thread.run(noting(done, f"{what}{step}"))

    async with anyio.create_task_group() as group, turns.alone() as thread:
        for name in ("a", "b"):
            group.start_soon(job, name)
        group.start_soon(alone, "c")
        group.start_soon(job, "d")
        await anyio.wait_all_tasks_blocked()
        await thread.run(noting(done, "first"))
    assert done[:3] == ["first", "a", "b"]
    assert done[3:] == ["c0", "c1", "c2", "d"]
    await turns.stop()


async def test_who_gives_up_waiting_or_having_it_leaves_it_to_the_others() -> None:
    turns, done = await opened(), list[str]()

    async def alone() -> None:
        async with turns.alone() as thread:
            await thread.run(noting(done, "alone"))
            await asyncio.sleep(0)

    for steps in range(12):
        tasks = [asyncio.ensure_future(alone()) for _ in range(3)]
        for _ in range(steps):
            await asyncio.sleep(0)
        tasks[steps % 3].cancel()
        await asyncio.wait(tasks)
        assert await turns.run(lambda: 7) == 7
    await turns.stop()


async def test_the_end_waits_for_who_has_it_alone() -> None:
    turns, done = await opened(), list[str]()
    async with anyio.create_task_group() as group, turns.alone() as thread:
        group.start_soon(turns.stop)
        await anyio.wait_all_tasks_blocked()
        await thread.run(noting(done, "still"))
    assert done == ["still"]
