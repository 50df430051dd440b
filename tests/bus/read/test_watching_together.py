"""Watching together: who watches the same shares each evaluation, gets what is new enough, and is told of its end."""

from contextlib import AsyncExitStack, aclosing

import anyio
import pytest

from bus import (
    PARK,
    Answer,
    Application,
    Bus,
    BusClosed,
    Limits,
    MemoryEventStore,
    MemoryViewStore,
    QueryFailed,
    QueryTimeout,
    Views,
)
from tests.support.ledger import (
    ACCOUNT,
    BALANCES,
    JOURNAL,
    LEDGER,
    NOTE,
    Balance,
    Deposit,
    GetBalance,
    GetBalances,
    GetJournal,
    Journal,
    balances,
    ledger,
)
from tests.support.projecting import POISON, Brittle
from tests.support.views import ToldViewStore
from tests.support.watching import TRACE, Counted, Watched, listeners, quiet


async def test_a_thousand_who_watch_the_same_cost_one_evaluation_for_each_change() -> None:
    counted = Counted()
    async with Bus(counted.application) as bus, anyio.create_task_group() as tasks:
        watched = [Watched(bus.watch(GetBalance("a"))) for _ in range(1_000)]
        for one in watched:
            tasks.start_soon(one.run)
        await quiet()
        assert counted.runs == 1
        assert (bus.statistics().watchers, bus.statistics().watched) == (1_000, 1)
        for changes in (1, 2):
            await bus.send(Deposit("a", 5))
            await quiet()
            assert counted.runs == 1 + changes
        assert all(one.values == [None, Balance("a", 5, [1]), Balance("a", 10, [1, 2])] for one in watched)
        tasks.cancel_scope.cancel()
    assert counted.runs == 3


async def test_each_different_query_is_evaluated_by_itself() -> None:
    counted = Counted()
    async with Bus(counted.application) as bus, anyio.create_task_group() as tasks:
        watched = [Watched(bus.watch(GetBalance(account))) for account in "abab"]
        for one in watched:
            tasks.start_soon(one.run)
        await quiet()
        assert (counted.runs, bus.statistics().watched) == (2, 2)
        await bus.send(Deposit("a"))
        await quiet()
        assert counted.runs == 3
        assert [len(one.got) for one in watched] == [2, 1, 2, 1]
        tasks.cancel_scope.cancel()


async def test_what_is_watched_by_nobody_is_evaluated_no_more() -> None:
    counted = Counted()
    async with Bus(counted.application) as bus:
        first, second = bus.watch(GetBalance("a")), bus.watch(GetBalance("a"))
        await anext(first)
        await anext(second)
        await first.aclose()
        await bus.send(Deposit("a"))
        assert (await anext(second)).value == Balance("a", 1, [1])
        assert counted.runs == 2
        with anyio.move_on_after(1):
            await anext(second)
        await quiet()
        assert listeners(bus) == 0
        await bus.send(Deposit("a"))
        await quiet()
        assert counted.runs == 2


async def test_an_evaluation_that_nobody_waits_for_any_more_is_given_up() -> None:
    counted = Counted()
    counted.hold()
    views = ToldViewStore()
    async with Bus(counted.application, view_store=views) as bus:
        with anyio.move_on_after(1):
            await anext(bus.watch(GetBalance("a")))
        await quiet()
        assert views.snapshots_open == 0
        assert listeners(bus) == 0


async def test_a_slow_reader_keeps_nobody_waiting_and_gets_the_newest() -> None:
    async with Bus(LEDGER) as bus, anyio.create_task_group() as tasks, aclosing(bus.watch(GetBalance("a"))) as slow:
        quick = Watched(bus.watch(GetBalance("a")))
        tasks.start_soon(quick.run)
        assert (await anext(slow)).value is None
        for _ in range(5):
            await bus.wait_projected(await bus.send(Deposit("a")))
            await quiet()
        assert len(quick.got) == 6
        assert (await anext(slow)).value == quick.values[-1] == Balance("a", 5, [1, 2, 3, 4, 5])
        tasks.cancel_scope.cancel()


async def test_who_joins_gets_the_last_answer_without_an_evaluation_while_it_is_true() -> None:
    counted = Counted()
    async with Bus(counted.application, limits=Limits(watch_interval_s=1_000)) as bus, AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(aclosing(bus.watch(GetBalance("a")))) for _ in range(2)]
        assert await anext(first) == Answer(None, 0)
        await bus.wait_projected(await bus.send(Deposit("b")))
        # That of another account: the answer is as it was, and known to be so.
        assert await anext(second) == Answer(None, 1)
        assert counted.runs == 1


@pytest.mark.parametrize("when", ["while nothing happens", "while the others wait", "while an answer is read"])
async def test_who_joins_gets_an_answer_that_holds_what_was_committed_before(when: str) -> None:
    counted = Counted()
    bus = Bus(counted.application, limits=Limits(watch_interval_s=1_000))
    async with bus, anyio.create_task_group() as tasks:
        early, late = Watched(bus.watch(GetBalance("a"))), Watched(bus.watch(GetBalance("a")))
        tasks.start_soon(early.run)
        if when == "while an answer is read":
            counted.hold()
        await anyio.wait_all_tasks_blocked()
        if when == "while nothing happens":
            await anyio.sleep(10_000)
        await bus.wait_projected(await bus.send(Deposit("a", 5)))
        tasks.start_soon(late.run)
        await anyio.wait_all_tasks_blocked()
        counted.gate.set()
        await anyio.sleep(10)
        assert late.got == [Answer(Balance("a", 5, [1]), 1)]
        tasks.cancel_scope.cancel()


async def test_an_answer_that_who_joins_has_caused_comes_to_the_others_no_sooner_than_it_may() -> None:
    async with Bus(LEDGER, limits=Limits(watch_interval_s=100)) as bus, anyio.create_task_group() as tasks:
        early, times = bus.watch(GetBalance("a")), list[float]()

        async def read() -> None:
            async with aclosing(early) as answers:
                async for _ in answers:
                    times.append(anyio.current_time())

        tasks.start_soon(read)
        await anyio.sleep(1)
        await bus.wait_projected(await bus.send(Deposit("a", 5)))
        async with aclosing(bus.watch(GetBalance("a"))) as late:
            assert (await anext(late)).value == Balance("a", 5, [1])
            assert len(times) == 1
            await anyio.sleep(200)
        assert times[1:] == [pytest.approx(times[0] + 100)]
        tasks.cancel_scope.cancel()


async def test_where_others_project_who_joins_does_not_trust_the_last_answer() -> None:
    counted = Counted()
    events, views = MemoryEventStore(shared=True), MemoryViewStore(shared=True)
    limits = Limits(poll_interval_s=1_000, lease_s=10_000, watch_interval_s=1_000)
    one, other = [Bus(counted.application, event_store=events, view_store=views, limits=limits) for _ in range(2)]
    async with one, other, AsyncExitStack() as stack:
        watches = [await stack.enter_async_context(aclosing(other.watch(GetBalance("a")))) for _ in range(3)]
        assert [(await anext(early)).value for early in watches[:2]] == [None, None]
        assert counted.runs == 1
        await one.wait_projected(await one.send(Deposit("a", 5)))
        assert other.statistics().projections[0].position == 0
        assert (await anext(watches[2])).value == Balance("a", 5, [1])
        assert counted.runs == 2


async def test_each_of_those_who_watch_is_told_of_a_failure_in_words_of_its_own() -> None:
    async def fails(query: GetBalance, views: Views) -> Balance | None:
        assert await views.get(Balance, query.account) is None, "a bug"
        return None

    application = Application(deciders=[ACCOUNT, NOTE], projections=[BALANCES], query_handlers=[fails])
    async with Bus(application) as bus, anyio.create_task_group() as tasks:
        watched = [Watched(bus.watch(GetBalance("a"))) for _ in range(3)]
        for one in watched:
            tasks.start_soon(one.run)
        await quiet()
        await bus.send(Deposit("a"))
        await quiet()
        assert [one.values for one in watched] == [[None]] * 3
        errors = [one.error for one in watched]
        assert all(isinstance(error, QueryFailed) for error in errors)
        assert len({id(error) for error in errors}) == 3
        assert listeners(bus) == 0


async def test_who_joins_while_an_evaluation_is_about_to_fail_is_given_another_one() -> None:
    failing = [True]

    async def fails_once(query: GetBalance, views: Views) -> Balance | None:
        await anyio.sleep(1)
        assert not failing, "a bug"
        return None

    application = Application(deciders=[ACCOUNT, NOTE], projections=[BALANCES], query_handlers=[fails_once])
    async with Bus(application) as bus, anyio.create_task_group() as tasks:
        early, late = Watched(bus.watch(GetBalance("a"))), Watched(bus.watch(GetBalance("a")))
        tasks.start_soon(early.run)
        await anyio.sleep(0.5)
        tasks.start_soon(late.run)
        await anyio.wait_all_tasks_blocked()
        await anyio.sleep(0.75)
        failing.clear()
        await quiet()
        assert isinstance(early.error, QueryFailed)
        assert (late.values, late.error) == ([None], None)
        tasks.cancel_scope.cancel()


async def test_an_exit_in_a_handler_is_told_to_who_watches_and_the_bus_goes_on() -> None:
    async def leaving(query: GetBalance, views: Views) -> Balance | None:
        raise BaseExceptionGroup("several", [GeneratorExit()])

    application = Application(deciders=[ACCOUNT, NOTE], projections=[BALANCES], query_handlers=[leaving])
    async with Bus(application) as bus:
        with pytest.raises(BaseExceptionGroup, match="several"):
            await anext(bus.watch(GetBalance("a")))
        await bus.wait_projected(await bus.send(Deposit("a")))


async def test_a_thousand_who_watch_when_the_bus_is_closed_are_told() -> None:
    async with anyio.create_task_group() as tasks, Bus(LEDGER) as bus:
        watched = [Watched(bus.watch(GetBalance("a"))) for _ in range(1_000)]
        for one in watched:
            tasks.start_soon(one.run)
        await quiet()
    assert all(isinstance(one.error, BusClosed) for one in watched)
    assert len({id(one.error) for one in watched}) == 1_000


async def test_an_evaluation_knows_nothing_of_the_trace_of_whoever_watches() -> None:
    counted = Counted()
    token = TRACE.set("of the first")
    try:
        async with Bus(counted.application) as bus, aclosing(bus.watch(GetBalance("a"))) as answers:
            await anext(answers)
            await bus.send(Deposit("a"))
            await anext(answers)
    finally:
        TRACE.reset(token)
    assert (counted.runs, counted.contexts) == (2, {"none"})


async def test_what_one_who_watches_does_to_an_answer_is_nothing_to_another() -> None:
    async with Bus(LEDGER) as bus:
        await bus.wait_projected(await bus.send(Deposit("a", 5)))
        for _ in range(2):
            async with aclosing(bus.watch(GetBalances())) as one, aclosing(bus.watch(GetBalances())) as other:
                first, second = (await anext(one)).value, (await anext(other)).value
                assert first == second == [Balance("a", 5, [1])]
                first[0].positions.clear()
                first.clear()
                assert second == [Balance("a", 5, [1])]


async def test_no_answer_shows_less_than_the_one_before_also_of_views_that_it_did_not_read() -> None:
    async def either(query: GetBalance, views: Views) -> Balance | None:
        if (found := await views.get(Balance, "a")) is None:
            return None
        journal = await views.get(Journal, "all")
        return Balance("journal", found.balance, [entry[0] for entry in journal.entries] if journal is not None else [])

    views = ToldViewStore()
    application = Application(deciders=[ACCOUNT, NOTE], projections=[BALANCES, JOURNAL], query_handlers=[either])
    async with Bus(application, view_store=views) as bus, anyio.create_task_group() as tasks:
        await bus.wait_projected(await bus.send(Deposit("b")))
        views.hold("journal")
        await bus.wait_projected(await bus.send(Deposit("b")), "balances")
        watched = Watched(bus.watch(GetBalance("a")))
        tasks.start_soon(watched.run)
        await quiet()
        assert watched.got == [Answer(None, 2)]
        await bus.send(Deposit("a", 5))
        await quiet()
        # The journal ends at 1, and this reader has been shown 2.
        assert len(watched.got) == 1
        views.let_go("journal")
        await quiet()
        assert watched.got[-1] == Answer(Balance("journal", 5, [1, 2, 3]), 3)
        assert watched.got[1].position >= 2
        tasks.cancel_scope.cancel()


async def test_a_retry_is_seen_also_where_others_project_and_the_checkpoint_stays() -> None:
    brittle = Brittle()
    events, views = MemoryEventStore(shared=True), ToldViewStore(MemoryViewStore(shared=True))
    application = ledger(balances(brittle.project, on_poison=PARK))
    limits = Limits(poll_interval_s=1, lease_s=10_000)
    one, other = [Bus(application, event_store=events, view_store=views, limits=limits) for _ in range(2)]
    async with one, other, anyio.create_task_group() as tasks:
        watched, plain = Watched(other.watch(GetBalance("a"))), Watched(other.watch(GetJournal()))
        tasks.start_soon(watched.run)
        tasks.start_soon(plain.run)
        await one.send(Deposit("a", POISON))
        await one.wait_settled()
        await quiet()
        assert watched.values == [None]
        brittle.times = 0
        assert (await one.retry_dead_letters("balances")).is_done
        await anyio.sleep(3)
        assert watched.values == [None, Balance("a", POISON, [1])]
        taken = views.snapshots_taken
        await anyio.sleep(100)
        assert views.snapshots_taken == taken, "without letters nobody looks"
        tasks.cancel_scope.cancel()


async def test_a_retry_whose_commit_was_in_doubt_is_told_to_who_watches() -> None:
    brittle, views = Brittle(), ToldViewStore()
    views.faulty = "balances"
    application = ledger(balances(brittle.project, on_poison=PARK))
    async with Bus(application, view_store=views) as bus, anyio.create_task_group() as tasks:
        watched = Watched(bus.watch(GetBalance("a")))
        tasks.start_soon(watched.run)
        await bus.send(Deposit("a", POISON))
        await bus.wait_settled()
        brittle.times = 0
        views.faults.append("after")
        assert (await bus.retry_dead_letters("balances", key="a")).answered_at is not None
        await quiet()
        assert watched.values == [None, Balance("a", POISON, [1])]
        tasks.cancel_scope.cancel()


async def test_an_evaluation_that_takes_too_long_is_told_also_after_one_that_was_too_old() -> None:
    pauses = [0.0, 0.0, 0.0, 99.0]

    async def either(query: GetBalance, views: Views) -> Balance | None:
        if (found := await views.get(Balance, "a")) is not None:
            await views.get(Journal, "all")
        await anyio.sleep(pauses.pop(0))
        return found

    views = ToldViewStore()
    application = Application(deciders=[ACCOUNT, NOTE], projections=[BALANCES, JOURNAL], query_handlers=[either])
    async with Bus(application, view_store=views) as bus, anyio.create_task_group() as tasks:
        views.hold("journal")
        watched = Watched(bus.watch(GetBalance("a")))
        tasks.start_soon(watched.run)
        await bus.wait_projected(await bus.send(Deposit("b")), "balances")
        async with aclosing(bus.watch(GetBalance("a"))) as answers:
            assert (await anext(answers)).position == 1
        pauses[:] = [0.0, 99.0]
        await bus.send(Deposit("a", 5))
        await quiet()
        views.let_go("journal")
        await anyio.sleep(100)
        assert (watched.values, type(watched.error)) == ([None], QueryTimeout)
        tasks.cancel_scope.cancel()
