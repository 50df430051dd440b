"""Answers to those who wait for something, or whose views others project: a kept one is as new as a new one."""

from typing import Any

import anyio
import pytest

from bus import (
    PARK,
    Bus,
    Limits,
    MemoryEventStore,
    MemoryViewStore,
    Parked,
    ProjectionStopped,
    ProjectionTimeout,
    Views,
)
from tests.support.ledger import (
    BALANCES,
    Balance,
    Deposit,
    Journal,
    balances,
)
from tests.support.looking import Asking, Desk, Look, deposit, kept
from tests.support.projecting import POISON, Brittle
from tests.support.views import ToldViewStore


async def test_a_kept_answer_from_before_what_is_waited_for_is_not_used() -> None:
    views, desk = ToldViewStore(), Desk()
    async with Bus(desk.application(), view_store=views) as bus, anyio.create_task_group() as tasks:
        await bus.query(Look())
        await bus.query(Look("b"))
        views.hold("balances")
        receipt = await bus.send(Deposit("a", 5))
        several = [Asking(bus, Look(account), after=receipt) for account in "aab"]
        for one in several:
            tasks.start_soon(one.run)
        await anyio.wait_all_tasks_blocked()
        assert [one.got for one in several] == [[], [], []]
        assert views.snapshots_open == 0
        with pytest.raises(ProjectionTimeout):
            await bus.query(Look("b"), after=receipt, timeout=1)
        views.let_go("balances")
        await bus.wait_settled()
        await anyio.wait_all_tasks_blocked()
        # That of the other account is as it was, and known to be as new as that.
        assert [one.got for one in several] == [[Balance("a", 5, [1])], [Balance("a", 5, [1])], [None]]
        runs = desk.runs
        assert await bus.query(Look(), after=receipt) == Balance("a", 5, [1])
        assert await bus.query(Look("b"), after=receipt) is None
        assert desk.runs == runs


async def test_a_handler_that_fails_on_views_from_before_what_is_waited_for_is_run_again() -> None:
    async def owed(query: Look, views: Views) -> int:
        found = await views.get(Balance, query.account)
        assert found is not None
        return found.balance

    views, desk = ToldViewStore(), Desk(owed)
    async with Bus(desk.application(), view_store=views) as bus, anyio.create_task_group() as tasks:
        views.hold("balances")
        receipt = await bus.send(Deposit("a", 5))
        asking = Asking(bus, Look(), after=receipt)
        tasks.start_soon(asking.run)
        await anyio.wait_all_tasks_blocked()
        views.let_go("balances")
        await bus.wait_settled()
        await anyio.wait_all_tasks_blocked()
        assert asking.got == [5]


async def test_only_what_the_handler_comes_to_read_is_waited_for() -> None:
    async def either(query: Look, views: Views) -> object:
        if await views.get(Balance, "a") is not None:
            return "enough"
        return await views.get(Journal, "all")

    views = ToldViewStore()
    async with Bus(Desk(either).application(), view_store=views) as bus:
        views.hold("journal")
        receipt = await bus.send(Deposit("a"))
        assert await bus.query(Look(), after=receipt, timeout=1) == "enough"
        views.let_go("journal")


async def test_a_projection_that_stopped_is_told_to_who_waits_and_its_views_are_not_kept_any_more() -> None:
    desk = Desk()
    async with Bus(desk.application(balances(Brittle().project))) as bus:
        await bus.query(Look())
        receipt = await bus.send(Deposit("a", POISON))
        with pytest.raises(ProjectionStopped):
            await bus.query(Look(), after=receipt)
        assert await bus.query(Look()) is None
        assert kept(bus) == []


async def test_who_asks_for_what_is_parked_is_told_and_afterwards_given_it() -> None:
    desk, brittle = Desk(), Brittle()
    async with Bus(desk.application(balances(brittle.project, on_poison=PARK))) as bus:
        await bus.query(Look())
        receipt = await bus.send(Deposit("a", POISON))
        other = await bus.send(Deposit("b", 1))
        for _ in range(2):
            with pytest.raises(Parked):
                await bus.query(Look(), after=receipt)
        assert await bus.query(Look("b"), after=other) == Balance("b", 1, [2])
        assert await bus.query(Look()) is None
        brittle.times = 0
        assert (await bus.retry_dead_letters("balances")).is_done
        assert await bus.query(Look()) == Balance("a", POISON, [1])
        assert await bus.query(Look(), after=receipt) == Balance("a", POISON, [1])


class Shared:
    """Two buses over the same stores, of which the first one projects."""

    def __init__(self, projection: Any = BALANCES) -> None:
        self.events = MemoryEventStore(shared=True)
        self.views = ToldViewStore(MemoryViewStore(shared=True))
        self.desk = Desk()
        limits = Limits(poll_interval_s=1_000, lease_s=10_000)
        self.one, self.other = [
            Bus(self.desk.application(projection), event_store=self.events, view_store=self.views, limits=limits)
            for _ in range(2)
        ]


async def test_where_others_project_a_kept_answer_counts_only_while_its_views_are_as_they_were() -> None:
    shared = Shared()
    async with shared.one, shared.other:
        assert [one.is_here for one in shared.other.statistics().projections] == [False, False]
        for _ in range(3):
            assert await shared.other.query(Look()) is None
        assert shared.desk.runs == 1
        await deposit(shared.one, amount=5)
        assert shared.other.statistics().projections[0].position == 0, "it has not heard of it"
        for _ in range(3):
            assert await shared.other.query(Look()) == Balance("a", 5, [1])
        assert shared.desk.runs == 2
        told = shared.other.statistics().caches[0]
        assert (told.hits, told.misses, told.answers) == (4, 2, 1)


async def test_where_others_project_those_who_ask_at_a_time_share_a_run_that_begins_after_they_asked() -> None:
    shared = Shared()
    shared.desk.after = anyio.Event()
    async with shared.one, shared.other, anyio.create_task_group() as tasks:
        early, late = Asking(shared.other, Look()), [Asking(shared.other, Look()) for _ in range(100)]
        tasks.start_soon(early.run)
        await anyio.wait_all_tasks_blocked()
        await deposit(shared.one, amount=5)
        for one in late:
            tasks.start_soon(one.run)
        await anyio.wait_all_tasks_blocked()
        shared.desk.after.set()
        await anyio.wait_all_tasks_blocked()
        assert early.got == [None]
        assert [one.got for one in late] == [[Balance("a", 5, [1])]] * 100
        assert shared.desk.runs == 2


async def test_where_others_project_a_retry_that_leaves_the_checkpoint_in_its_place_is_seen() -> None:
    brittle = Brittle()
    shared = Shared(balances(brittle.project, on_poison=PARK))
    async with shared.one, shared.other:
        await shared.one.send(Deposit("a", POISON))
        await shared.one.wait_settled()
        for _ in range(2):
            assert await shared.other.query(Look()) is None
        assert shared.desk.runs == 1
        brittle.times = 0
        assert (await shared.one.retry_dead_letters("balances")).is_done
        assert await shared.other.query(Look()) == Balance("a", POISON, [1])


async def test_where_letters_are_too_many_to_be_told_apart_nothing_is_kept() -> None:
    shared = Shared(balances(Brittle().project, on_poison=PARK))
    async with shared.one, shared.other:
        await shared.one.send(Deposit("a", POISON, times=1_000))
        await shared.one.wait_settled()
        for _ in range(2):
            assert await shared.other.query(Look()) is None
        assert shared.desk.runs == 2
