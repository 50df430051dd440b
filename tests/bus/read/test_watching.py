"""Watching: the answer now and after each change that concerns it; no change is lost, no listener is left."""

import gc
import warnings
from collections.abc import Awaitable
from contextlib import aclosing
from typing import Any

import anyio
import pytest

from bus import (
    Answer,
    Application,
    Bus,
    BusClosed,
    Limits,
    ProjectionStopped,
    Query,
    QueryFailed,
    Recorded,
    Removed,
    UnknownQuery,
    Views,
)
from tests.support.ledger import (
    ACCOUNT,
    BALANCES,
    JOURNAL,
    LEDGER,
    NOTE,
    AccountEvent,
    Balance,
    Close,
    Deposit,
    Deposited,
    GetBalance,
    GetBalances,
    GetJournal,
    Journal,
    WriteNote,
    balances,
    ledger,
    project_balance,
)
from tests.support.views import ToldViewStore
from tests.support.watching import Watched, listeners, quiet


async def test_the_answer_comes_now_and_again_after_each_change() -> None:
    async with Bus(LEDGER) as bus, anyio.create_task_group() as tasks:
        watched = Watched(bus.watch(GetBalance("a")))
        tasks.start_soon(watched.run)
        await quiet()
        assert watched.got == [Answer(None, 0)]
        for amount in (5, 6):
            await bus.send(Deposit("a", amount))
            await quiet()
        assert watched.got[1:] == [Answer(Balance("a", 5, [1]), 1), Answer(Balance("a", 11, [1, 2]), 2)]
        tasks.cancel_scope.cancel()


async def test_changes_of_other_views_ask_nothing_again() -> None:
    views = ToldViewStore()
    async with Bus(LEDGER, view_store=views) as bus, anyio.create_task_group() as tasks:
        watched = Watched(bus.watch(GetBalance("a")))
        tasks.start_soon(watched.run)
        await quiet()
        taken = views.snapshots_taken
        await bus.send(Deposit("b"))
        await bus.send(WriteNote("n"))
        await quiet()
        assert views.snapshots_taken == taken
        await bus.send(Deposit("a"))
        await quiet()
        assert views.snapshots_taken == taken + 1
        assert len(watched.got) == 2
        tasks.cancel_scope.cancel()


async def test_any_view_of_the_projection_may_change_what_is_found() -> None:
    async with Bus(LEDGER) as bus, anyio.create_task_group() as tasks:
        watched = Watched(bus.watch(GetBalances()))
        tasks.start_soon(watched.run)
        for account in ("a", "b"):
            await quiet()
            await bus.send(Deposit(account))
        await quiet()
        assert [len(value) for value in watched.values] == [0, 1, 2]
        tasks.cancel_scope.cancel()


async def test_a_handler_that_finds_and_then_gets_is_still_asked_again_after_any_change() -> None:
    async def counted(query: GetBalance, views: Views) -> Balance | None:
        found = await views.find(Balance)
        return await views.get(Balance, query.account) if len(found) > 1 else None

    application = Application(deciders=[ACCOUNT, NOTE], projections=[BALANCES], query_handlers=[counted])
    async with Bus(application) as bus, anyio.create_task_group() as tasks:
        watched = Watched(bus.watch(GetBalance("a")))
        for account in ("a", "b", "c"):
            await bus.wait_projected(await bus.send(Deposit(account)))
        tasks.start_soon(watched.run)
        await quiet()
        await bus.send(Close("b"))
        await bus.send(Close("c"))
        await quiet()
        assert watched.values == [Balance("a", 1, [1]), None]
        tasks.cancel_scope.cancel()


async def test_changes_in_quick_succession_give_one_answer() -> None:
    async with Bus(LEDGER, limits=Limits(watch_interval_s=5)) as bus, anyio.create_task_group() as tasks:
        watched = Watched(bus.watch(GetBalance("a")))
        tasks.start_soon(watched.run)
        await anyio.wait_all_tasks_blocked()
        for _ in range(50):
            await bus.wait_projected(await bus.send(Deposit("a")))
        await anyio.sleep(4)
        assert len(watched.got) == 1
        await quiet()
        assert [value.balance for value in watched.values[1:]] == [50]
        tasks.cancel_scope.cancel()


async def test_a_change_that_leaves_the_answer_as_it_was_gives_none() -> None:
    async def how_many(query: GetBalances, views: Views) -> list[Balance]:
        return [Balance("", len(await views.find(Balance)), [])]

    application = Application(deciders=[ACCOUNT, NOTE], projections=[BALANCES, JOURNAL], query_handlers=[how_many])
    async with Bus(application) as bus, anyio.create_task_group() as tasks:
        watched = Watched(bus.watch(GetBalances()))
        tasks.start_soon(watched.run)
        for account in ("a", "a", "a", "b"):
            await quiet()
            await bus.send(Deposit(account))
        await quiet()
        assert [value[0].balance for value in watched.values] == [0, 1, 2]
        tasks.cancel_scope.cancel()


class Slow:
    """A handler that pauses before and after it reads, for as long as the test wants."""

    def __init__(self) -> None:
        self.before = anyio.Event()
        self.after = anyio.Event()

    async def get(self, query: GetBalance, views: Views) -> Balance | None:
        await self.before.wait()
        found = await views.get(Balance, query.account)
        await self.after.wait()
        return found


@pytest.mark.parametrize("when", ["before the read", "after the read"])
async def test_a_change_that_is_committed_while_the_answer_is_read_is_not_lost(when: str) -> None:
    slow = Slow()
    application = Application(deciders=[ACCOUNT, NOTE], projections=[BALANCES, JOURNAL], query_handlers=[slow.get])
    async with Bus(application) as bus, anyio.create_task_group() as tasks:
        watched = Watched(bus.watch(GetBalance("a")))
        tasks.start_soon(watched.run)
        await anyio.wait_all_tasks_blocked()
        if when == "after the read":
            slow.before.set()
            await anyio.wait_all_tasks_blocked()
        await bus.wait_projected(await bus.send(Deposit("a", 5)))
        slow.before.set()
        slow.after.set()
        await quiet()
        assert watched.values == [None, Balance("a", 5, [1])]
        tasks.cancel_scope.cancel()


async def test_a_change_that_is_committed_while_the_reader_is_busy_with_an_answer_is_not_lost() -> None:
    async with Bus(LEDGER) as bus, aclosing(bus.watch(GetBalance("a"))) as answers:
        assert (await anext(answers)).value is None
        for amount in (1, 2, 3):
            await bus.wait_projected(await bus.send(Deposit("a", amount)))
        last = await anext(answers)
        assert last.value == Balance("a", 6, [1, 2, 3])
        assert last.position == 3


async def test_the_last_answer_is_right_however_commits_and_reads_interleave() -> None:
    views = ToldViewStore()
    async with Bus(LEDGER, view_store=views) as bus, anyio.create_task_group() as tasks:
        watched = [Watched(bus.watch(query)) for query in (GetBalance("a-1"), GetBalances(), GetJournal())]
        for one in watched:
            tasks.start_soon(one.run)
        for number in range(61):
            if number % 7 == 0:
                views.hold("balances")
            await bus.send(Deposit(f"a-{number % 3}"))
            if number % 5 == 0:
                await anyio.sleep(0.03)
            if number % 7 == 4:
                views.let_go("balances")
        await bus.wait_settled()
        await quiet()
        assert watched[0].values[-1] == await bus.query(GetBalance("a-1"))
        assert watched[1].values[-1] == await bus.query(GetBalances())
        assert watched[2].values[-1] == await bus.query(GetJournal())
        for one in watched:
            positions = [answer.position for answer in one.got]
            assert positions == sorted(positions)
        tasks.cancel_scope.cancel()


async def test_no_listener_is_left_after_closing_or_cancelling_a_watch() -> None:
    async with Bus(LEDGER) as bus:
        async with aclosing(bus.watch(GetBalance("a"))) as answers:
            assert listeners(bus) == 0
            await anext(answers)
            assert listeners(bus) == 3 + 3
        await quiet()
        assert listeners(bus) == 0
        with anyio.move_on_after(1):
            await Watched(bus.watch(GetBalance("a"))).run()
        await quiet()
        assert listeners(bus) == 0


async def test_no_listener_is_left_after_leaving_the_loop() -> None:
    async with Bus(LEDGER) as bus:
        with warnings.catch_warnings():
            # trio would rather have the generator closed by hand, and says so.
            warnings.simplefilter("ignore", ResourceWarning)
            async for _ in bus.watch(GetBalance("a")):
                break
            gc.collect()
            await quiet()
        assert listeners(bus) == 0


async def test_an_error_ends_the_watch_and_leaves_no_listener() -> None:
    def failing(query: GetBalance, views: Views) -> Awaitable[Balance | None]:
        raise AssertionError

    async def fails(query: GetBalance, views: Views) -> Balance | None:
        return await failing(query, views)

    application = Application(deciders=[ACCOUNT, NOTE], projections=[BALANCES], query_handlers=[fails])
    async with Bus(application) as bus:
        watches: list[tuple[Query[Any], type[Exception]]] = [
            (GetBalance("a"), QueryFailed),
            (GetBalances(), UnknownQuery),
        ]
        for query, kind in watches:
            watched = Watched(bus.watch(query))
            await watched.run()
            assert isinstance(watched.error, kind)
            assert listeners(bus) == 0


def raises_at_13(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
    assert not isinstance(recorded.event, Deposited) or recorded.event.amount != 13, "a bug"
    return project_balance(view, recorded, key)


async def test_who_watches_a_projection_that_stops_gets_the_last_answer_and_is_told() -> None:
    async with Bus(ledger(balances(raises_at_13))) as bus, anyio.create_task_group() as tasks:
        watched, other = Watched(bus.watch(GetBalance("a"))), Watched(bus.watch(GetJournal()))
        tasks.start_soon(watched.run)
        tasks.start_soon(other.run)
        await quiet()
        await bus.send_many([Deposit("a", 5), Deposit("b", 13), Deposit("a", 6)])
        await quiet()
        assert watched.values == [None, Balance("a", 11, [1, 2])]
        assert isinstance(watched.error, ProjectionStopped)
        assert len(other.values[-1].entries) == 3
        assert other.error is None
        late = Watched(bus.watch(GetBalance("a")))
        await late.run()
        assert late.values == [Balance("a", 11, [1, 2])]
        assert isinstance(late.error, ProjectionStopped)
        tasks.cancel_scope.cancel()


async def test_the_last_answer_before_a_stop_is_given_also_to_a_reader_that_was_busy() -> None:
    async with Bus(ledger(balances(raises_at_13))) as bus, aclosing(bus.watch(GetBalance("a"))) as answers:
        assert (await anext(answers)).value is None
        await bus.wait_projected(await bus.send(Deposit("a", 5)))
        answer = await anext(answers)
        await bus.wait_projected(await bus.send(Deposit("a", 6)))
        await bus.send(Deposit("b", 13))
        await quiet()
        assert (answer.value, (await anext(answers)).value) == (Balance("a", 5, [1]), Balance("a", 11, [1, 2]))
        with pytest.raises(ProjectionStopped):
            await anext(answers)


async def test_who_watches_when_the_bus_is_closed_is_told() -> None:
    async with anyio.create_task_group() as tasks:
        async with Bus(LEDGER) as bus:
            watched = Watched(bus.watch(GetBalance("a")))
            tasks.start_soon(watched.run)
            await quiet()
        with anyio.fail_after(1):
            await anyio.wait_all_tasks_blocked()
            await anyio.sleep(0.5)
    assert watched.values == [None]
    assert isinstance(watched.error, BusClosed)


async def test_a_watch_is_told_of_the_position_that_all_its_views_have_reached() -> None:
    async def both(query: GetBalance, views: Views) -> Balance | None:
        await views.get(Journal, "all")
        return await views.get(Balance, query.account)

    views = ToldViewStore()
    application = Application(deciders=[ACCOUNT, NOTE], projections=[BALANCES, JOURNAL], query_handlers=[both])
    async with Bus(application, view_store=views) as bus:
        await bus.wait_projected(await bus.send(Deposit("a")))
        views.hold("journal")
        await bus.wait_projected(await bus.send(Deposit("a")), "balances")
        async with aclosing(bus.watch(GetBalance("a"))) as answers:
            answer = await anext(answers)
        assert (answer.position, answer.value) == (1, Balance("a", 2, [1, 2]))
        views.let_go("journal")
