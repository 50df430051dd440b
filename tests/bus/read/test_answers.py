"""Answers: equal queries share a run, kept answers are given while they are true, and never when they are not."""

import math
from typing import Any

import anyio
import pytest

from bus import (
    Application,
    Bus,
    BusClosed,
    BusError,
    CacheStatistics,
    Limits,
    ProjectionStopped,
    ProjectionTimeout,
    QueryFailed,
    QueryTimeout,
    StoreUnavailable,
    Views,
    cached,
)
from bus.core.letters import After
from bus.core.stored import ViewChanges, ViewTable
from tests.support.ledger import (
    ACCOUNT,
    BALANCES,
    NOTE,
    Balance,
    Close,
    Deposit,
    GetBalance,
    WriteNote,
)
from tests.support.looking import Asking, Desk, Look, deposit, kept, open_gate, richest
from tests.support.telemetry import RecordingTelemetry
from tests.support.views import ToldViewStore


async def test_an_answer_is_kept_until_a_view_that_it_was_read_from_changes() -> None:
    desk = Desk()
    async with Bus(desk.application()) as bus:
        assert [await bus.query(Look()) for _ in range(3)] == [None] * 3
        await deposit(bus, "b")
        await bus.wait_projected(await bus.send(WriteNote("n")))
        assert await bus.query(Look()) is None
        assert desk.runs == 1
        await deposit(bus)
        assert [await bus.query(Look()) for _ in range(3)] == [Balance("a", 1, [3])] * 3
        assert desk.runs == 2
        await bus.wait_projected(await bus.send(Close("a")))
        assert await bus.query(Look()) is None


async def test_an_answer_that_was_found_is_dropped_with_any_change_of_its_projection() -> None:
    desk = Desk(richest)
    async with Bus(desk.application()) as bus:
        for account in ("a", "b"):
            await deposit(bus, account)
            for _ in range(2):
                assert len(await bus.query(Look())) == desk.runs
    assert desk.runs == 2


async def test_time_alone_drops_nothing() -> None:
    desk = Desk()
    async with Bus(desk.application()) as bus:
        for _ in range(3):
            await bus.query(Look())
            await anyio.sleep(4_000)
    assert desk.runs == 1


async def test_statistics_tell_hits_misses_and_answers_of_each_cached_handler() -> None:
    async with Bus(Desk().application()) as bus:
        assert bus.statistics().caches == (CacheStatistics(query="Look", hits=0, misses=0, answers=0),)
        for account in "aabac":
            await bus.query(Look(account))
        await bus.query(GetBalance("a"))
        told = bus.statistics().caches
        assert told == (CacheStatistics(query="Look", hits=2, misses=3, answers=3),)
        assert told[0].hit_rate == 0.4
        await deposit(bus, "b")
        assert bus.statistics().caches[0].answers == 2


class Committed(ToldViewStore):
    """Has committed, and the answer takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = open_gate()

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        written = await super().commit(table, changes)
        if table.projection == "balances":
            await self.answers.wait()
        return written


async def test_between_a_commit_and_the_news_of_it_nobody_is_given_what_was_kept() -> None:
    views, desk = Committed(), Desk()
    async with Bus(desk.application(), view_store=views) as bus:
        assert await bus.query(Look()) is None
        views.answers = anyio.Event()
        await bus.send(Deposit("a", 5))
        await anyio.wait_all_tasks_blocked()
        assert bus.statistics().projections[0].position == 0
        assert await bus.query(GetBalance("a")) == Balance("a", 5, [1])
        assert await bus.query(Look()) == Balance("a", 5, [1])
        assert await bus.query(Look("b")) is None
        # What is about to be known is not known to be the last word: it is read, and not kept.
        assert [one.query for one in kept(bus)] == [Look("b")]
        views.answers.set()
        await bus.wait_settled()
        assert await bus.query(Look()) == Balance("a", 5, [1])
        assert desk.runs == 4


@pytest.mark.parametrize("when", ["before the read", "after the read"])
async def test_what_was_read_while_its_view_changed_is_not_kept(when: str) -> None:
    desk = Desk()
    desk.before, desk.after = anyio.Event(), anyio.Event()
    async with Bus(desk.application()) as bus, anyio.create_task_group() as tasks:
        asking = Asking(bus, Look())
        tasks.start_soon(asking.run)
        await anyio.wait_all_tasks_blocked()
        if when == "after the read":
            desk.before.set()
            await anyio.wait_all_tasks_blocked()
        await deposit(bus, amount=5)
        desk.before.set()
        desk.after.set()
        await anyio.wait_all_tasks_blocked()
        assert asking.got == [None]
        assert await bus.query(Look()) == Balance("a", 5, [1])


async def test_after_a_commit_that_nobody_knows_the_outcome_of_its_views_are_read_again() -> None:
    views, desk = ToldViewStore(), Desk()
    views.faulty = "balances"
    async with Bus(desk.application(), view_store=views, limits=Limits(projection_backoff_s=60)) as bus:
        await bus.query(Look())
        views.faults.append("after")
        await bus.send(Deposit("a", 5))
        await anyio.sleep(1)
        assert bus.statistics().projections[0].position == 0
        assert await bus.query(Look()) == Balance("a", 5, [1])
        await bus.query(Look("b"))
        await bus.query(Look("b"))
        assert desk.runs == 3


async def test_a_thousand_who_ask_the_same_at_a_time_cost_one_run() -> None:
    desk = Desk()
    desk.before = anyio.Event()
    async with Bus(desk.application()) as bus, anyio.create_task_group() as tasks:
        several = [Asking(bus, Look()) for _ in range(1_000)]
        for one in several:
            tasks.start_soon(one.run)
        await anyio.wait_all_tasks_blocked()
        desk.before.set()
    assert desk.runs == 1
    assert [one.got for one in several] == [[None]] * 1_000
    assert bus.report is not None


async def test_who_asks_after_a_change_is_not_given_what_was_read_before_it() -> None:
    desk = Desk()
    desk.after = anyio.Event()
    async with Bus(desk.application()) as bus, anyio.create_task_group() as tasks:
        early, late = Asking(bus, Look()), [Asking(bus, Look()) for _ in range(100)]
        tasks.start_soon(early.run)
        await anyio.wait_all_tasks_blocked()
        await deposit(bus, amount=5)
        for one in late:
            tasks.start_soon(one.run)
        await anyio.wait_all_tasks_blocked()
        assert desk.runs == 1
        desk.after.set()
    assert early.got == [None]
    assert [one.got for one in late] == [[Balance("a", 5, [1])]] * 100
    assert desk.runs == 2


async def test_of_those_who_share_a_run_one_goes_on_where_another_is_cancelled_or_late() -> None:
    desk = Desk()
    desk.before = anyio.Event()
    async with Bus(desk.application()) as bus, anyio.create_task_group() as tasks:
        first, second, third = Asking(bus, Look()), Asking(bus, Look(), timeout=1), Asking(bus, Look())
        for one in (first, second, third):
            tasks.start_soon(one.run)
            await anyio.wait_all_tasks_blocked()
        first.scope.cancel()
        await anyio.sleep(2)
        assert isinstance(second.got[0], QueryTimeout)
        assert (first.got, third.got) == ([], [])
        desk.before.set()
        await anyio.wait_all_tasks_blocked()
        assert third.got == [None]
        assert desk.runs in (2, 3), "who is late may have had a run of its own"
        assert bus._opened().read.answers._flights == {}


@pytest.mark.parametrize("kind", [ZeroDivisionError, ProjectionStopped])
async def test_a_failure_is_told_to_each_who_shares_the_run_and_is_not_kept(kind: type[Exception]) -> None:
    async def fails(query: Look, views: Views) -> None:
        raise kind("for a reason")

    desk = Desk(fails)
    desk.before = anyio.Event()
    async with Bus(desk.application()) as bus, anyio.create_task_group() as tasks:
        several = [Asking(bus, Look()) for _ in range(3)]
        for one in several:
            tasks.start_soon(one.run)
        await anyio.wait_all_tasks_blocked()
        desk.before.set()
        await anyio.wait_all_tasks_blocked()
        assert desk.runs == 1
        errors = [one.got[0] for one in several]
        assert len({id(error) for error in errors}) == 3
        for error in errors:
            assert isinstance(error, QueryFailed if kind is ZeroDivisionError else kind)
            assert "for a reason" in str(error)
            assert isinstance(error.__cause__, ZeroDivisionError) == (kind is ZeroDivisionError)
        with pytest.raises(BusError, match="for a reason"):
            await bus.query(Look())
        assert desk.runs == 2


async def test_a_store_that_is_down_is_told_and_kept_answers_need_none() -> None:
    views, desk = ToldViewStore(), Desk()
    async with Bus(desk.application(), view_store=views) as bus:
        await bus.query(Look())
        views.is_down = True
        assert await bus.query(Look()) is None
        with pytest.raises(StoreUnavailable, match="the view store is down"):
            await bus.query(Look("b"))
        views.is_down = False
        assert await bus.query(Look("b")) is None


async def test_an_exit_goes_through_and_the_others_are_answered() -> None:
    exits = [True]

    async def leaving(query: Look, views: Views) -> str:
        if exits.pop():
            raise BaseExceptionGroup("several", [GeneratorExit()])
        return "answer"

    desk = Desk(leaving)
    desk.before = anyio.Event()
    exits.insert(0, False)
    async with Bus(desk.application()) as bus, anyio.create_task_group() as tasks:
        other = Asking(bus, Look())

        async def first() -> None:
            with pytest.raises(BaseExceptionGroup, match="several"):
                await bus.query(Look())

        tasks.start_soon(first)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(other.run)
        await anyio.wait_all_tasks_blocked()
        desk.before.set()
    assert other.got == ["answer"]


async def test_what_one_does_to_an_answer_is_nothing_to_another() -> None:
    async with Bus(Desk(richest).application()) as bus:
        await deposit(bus)
        for _ in range(3):
            found = await bus.query(Look())
            assert found == [Balance("a", 1, [1])]
            found[0].positions.append(7)
            found.clear()


async def test_an_answer_that_cannot_be_copied_is_refused() -> None:
    async def generator(query: Look, views: Views) -> Any:
        return (one for one in "abc")

    async with Bus(Desk(generator).application()) as bus:
        with pytest.raises(QueryFailed, match="the answer to Look cannot be copied for all who ask"):
            await bus.query(Look())


async def test_only_so_many_answers_are_kept() -> None:
    desk = Desk()
    async with Bus(desk.application(answers_max=2)) as bus:
        for account in "abcab":
            await bus.query(Look(account))
        assert (desk.runs, bus.statistics().caches[0].answers) == (5, 2)
        await bus.query(Look("b"))
        assert desk.runs == 5


async def test_a_query_that_cannot_be_hashed_is_found_by_its_value() -> None:
    desk = Desk()
    async with Bus(desk.application()) as bus:
        for _ in range(2):
            await bus.query(Look(more=[{"x"}, ["y"]]))
        await bus.query(Look(more=object()))
        await bus.query(Look(more=object()))
    assert desk.runs == 3


async def test_telemetry_hears_of_each_query_also_of_those_that_cost_no_run() -> None:
    telemetry = RecordingTelemetry()
    async with Bus(Desk().application(), telemetry=telemetry) as bus:
        for _ in range(3):
            await bus.query(Look())
        with pytest.raises(ProjectionTimeout):
            await bus.query(Look(), after=9, timeout=1)
    assert telemetry.queries == [("Look", None)] * 3 + [("Look", "projection-timeout")]


async def test_a_bus_that_is_closed_answers_nothing_that_it_has_kept() -> None:
    async with Bus(Desk().application()) as bus:
        await bus.query(Look())
        answers = bus._opened().read.answers
    with pytest.raises(BusClosed):
        await answers.ask(Look(), After(0, 1), None)


async def test_no_deadline_lets_a_cached_query_wait_for_ever() -> None:
    desk = Desk()
    desk.before = anyio.Event()
    async with Bus(desk.application()) as bus:
        started = anyio.current_time()
        with pytest.raises(QueryTimeout):
            await bus.query(Look())
        assert anyio.current_time() - started == pytest.approx(Limits().query_timeout_s)
        with anyio.move_on_after(100):
            await bus.query(Look(), timeout=math.inf)
        assert anyio.current_time() - started == pytest.approx(Limits().query_timeout_s + 100)


async def test_views_that_a_handler_has_let_out_disturb_no_projector() -> None:
    let_out: list[Views] = []

    async def careless(query: GetBalance, views: Views) -> Balance | None:
        let_out.append(views)
        return await views.get(Balance, query.account)

    application = Application(deciders=[ACCOUNT, NOTE], projections=[BALANCES], query_handlers=[cached(careless)])
    async with Bus(application) as bus:
        await bus.query(GetBalance("a"), after=await bus.send(Deposit("a")))
        await let_out[-1].get(Balance, "b")
        found = await bus.query(GetBalance("a"), after=await bus.send(Deposit("a")))
        assert found is not None
        assert found.balance == 2
        assert bus.statistics().projections[0].retries == 0
