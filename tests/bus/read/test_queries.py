"""Queries: what a handler sees, how long it may take, and what its sender is told when there is no answer."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from bus import (
    Bus,
    Limits,
    NotProjected,
    ProjectionStopped,
    ProjectionTimeout,
    QueryFailed,
    QueryTimeout,
    StoreUnavailable,
    UnknownQuery,
    View,
    Views,
)
from tests.support.asking import Ask, asking
from tests.support.ledger import (
    LEDGER,
    Balance,
    Deposit,
    GetBalance,
    Journal,
    NoteSeen,
    WriteNote,
)
from tests.support.telemetry import RecordingTelemetry
from tests.support.views import ToldViewStore


async def both(query: Ask, views: Views) -> tuple[Balance | None, Journal | None]:
    return await views.get(Balance, "a"), await views.get(Journal, "all")


async def test_an_answer_after_a_receipt_waits_for_the_commit_and_holds_no_snapshot_meanwhile() -> None:
    views = ToldViewStore()
    async with Bus(LEDGER, view_store=views) as bus, anyio.create_task_group() as tasks:
        views.hold("balances")
        receipt = await bus.send(Deposit("a", 5))
        answers: list[Balance | None] = []

        async def ask() -> None:
            answers.append(await bus.query(GetBalance("a"), after=receipt))

        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert answers == []
        assert views.snapshots_open == 0
        assert await bus.query(GetBalance("a")) is None
        views.let_go("balances")
        await anyio.wait_all_tasks_blocked()
        assert answers == [Balance("a", 5, [1])]
        assert views.snapshots_open == 0


async def test_a_handler_of_two_projections_sees_one_snapshot_that_holds_what_was_asked_for() -> None:
    views = ToldViewStore()
    application, asked = asking(both)
    async with Bus(application, view_store=views) as bus, anyio.create_task_group() as tasks:
        views.hold("balances")
        views.hold("journal")
        receipt = await bus.send(Deposit("a", 5))
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await bus.query(Ask(), after=receipt))

        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        views.let_go("balances")
        await anyio.wait_all_tasks_blocked()
        assert answers == []
        await bus.send(Deposit("a", 6))
        views.let_go("journal")
        await anyio.wait_all_tasks_blocked()
        # One snapshot: whichever commits it shows, both views were read from it.
        ((balance, journal),) = answers
        assert balance.positions[0] == journal.entries[0][0] == 1
        assert asked.runs == 3


async def test_views_committed_while_the_handler_runs_are_not_mixed_into_its_answer() -> None:
    async def slowly(query: Ask, views: Views) -> list[Any]:
        first = await views.get(Balance, "a")
        await anyio.sleep(10)
        return [first, *(await both(query, views))]

    application, _ = asking(slowly)
    async with Bus(application) as bus, anyio.create_task_group() as tasks:
        await bus.wait_projected(await bus.send(Deposit("a", 1)))

        async def change() -> None:
            await anyio.sleep(5)
            await bus.wait_projected(await bus.send(Deposit("a", 2)))

        tasks.start_soon(change)
        first, balance, journal = await bus.query(Ask())
        assert first == balance == Balance("a", 1, [1])
        assert len(journal.entries) == 1


async def test_a_commit_while_the_snapshot_is_on_its_way_does_not_make_it_newer() -> None:
    views = ToldViewStore()
    async with Bus(LEDGER, view_store=views) as bus, anyio.create_task_group() as tasks:
        views.hold("balances")
        views.snapshot_gate = anyio.Event()
        receipt = await bus.send(Deposit("a", 5))
        answers: list[Balance | None] = []

        async def ask() -> None:
            answers.append(await bus.query(GetBalance("a"), after=receipt))

        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert views.snapshots_open == 1
        views.let_go("balances")
        await anyio.wait_all_tasks_blocked()
        views.snapshot_gate.set()
        await anyio.wait_all_tasks_blocked()
        assert answers == [Balance("a", 5, [1])]


async def test_a_query_cancelled_while_its_snapshot_is_on_its_way_returns_it() -> None:
    views = ToldViewStore()
    async with Bus(LEDGER, view_store=views) as bus:
        views.snapshot_gate = anyio.Event()
        with pytest.raises(QueryTimeout):
            await bus.query(GetBalance("a"), timeout=1)
        assert views.snapshots_open == 0


async def test_a_handler_that_catches_everything_cannot_keep_an_answer_from_an_old_snapshot() -> None:
    async def stubborn(query: Ask, views: Views) -> object:
        try:
            return await views.get(Balance, "a")
        except BaseException:
            return "caught"

    await _sees_its_own_write(stubborn)


async def test_a_handler_whose_clean_up_fails_is_run_again_all_the_same() -> None:
    async def clumsy(query: Ask, views: Views) -> object:
        found = None
        try:
            found = await views.get(Balance, "a")
        finally:
            assert found is not None, "the clean-up needs what was read"
        return found

    await _sees_its_own_write(clumsy)


async def test_a_handler_may_read_in_tasks_of_its_own() -> None:
    async def together(query: Ask, views: Views) -> object:
        found: list[Any] = []

        async def read(view: type[View], key: str) -> None:
            found.append(await views.get(view, key))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, Balance, "a")
            tasks.start_soon(read, Journal, "all")
        return next(one for one in found if isinstance(one, Balance))

    await _sees_its_own_write(together)


async def test_a_handler_that_gives_its_reads_little_time_is_not_given_an_old_view() -> None:
    async def hasty(query: Ask, views: Views) -> object:
        with anyio.move_on_after(0.001):
            return await views.get(Balance, "a")
        return "given up"

    await _sees_its_own_write(hasty)


async def _sees_its_own_write(handler: Callable[[Ask, Views], Awaitable[object]]) -> None:
    views = ToldViewStore()
    application, asked = asking(handler)
    async with Bus(application, view_store=views) as bus, anyio.create_task_group() as tasks:
        views.hold("balances")
        receipt = await bus.send(Deposit("a", 5))
        answers: list[object] = []

        async def ask() -> None:
            answers.append(await bus.query(Ask(), after=receipt))

        tasks.start_soon(ask)
        await anyio.sleep(1)
        views.let_go("balances")
        await anyio.wait_all_tasks_blocked()
        assert answers == [Balance("a", 5, [1])]
        assert asked.runs >= 2


async def test_only_what_this_query_reads_is_waited_for_whatever_others_of_its_type_read() -> None:
    async def either(query: Ask, views: Views) -> object:
        if query.text == "notes":
            return await views.get(NoteSeen, "all")
        return await views.get(Balance, "a")

    views = ToldViewStore()
    application, _ = asking(either)
    async with Bus(application, view_store=views) as bus:
        receipt = await bus.send(WriteNote("n"))
        assert await bus.query(Ask("notes"), after=receipt) == NoteSeen([1])
        views.hold("notes")
        receipt = await bus.send(Deposit("a", 5))
        assert await bus.query(Ask(), after=receipt) == Balance("a", 5, [2])
        views.let_go("notes")


async def test_restarts_are_bounded() -> None:
    views = ToldViewStore()
    application, asked = asking(both)
    async with Bus(application, view_store=views, limits=Limits(query_restarts_max=1)) as bus:
        views.hold("balances")
        receipt = await bus.send(Deposit("a"))
        with pytest.raises(QueryFailed, match="at each of 1 attempts"):
            await bus.query(Ask(), after=receipt)
        assert asked.runs == 1
        views.let_go("balances")


async def test_a_projection_that_is_late_is_a_projection_timeout_which_says_that_it_is_recorded() -> None:
    views = ToldViewStore()
    async with Bus(LEDGER, view_store=views) as bus:
        views.hold("balances")
        receipt = await bus.send(Deposit("a"))
        started = anyio.current_time()
        with pytest.raises(ProjectionTimeout, match="is recorded") as caught:
            await bus.query(GetBalance("a"), after=receipt, timeout=7)
        assert anyio.current_time() - started == pytest.approx(7)
        assert (caught.value.projection, caught.value.position, caught.value.at) == ("balances", 1, 0)
        assert isinstance(caught.value, NotProjected)
        views.let_go("balances")


async def test_a_position_nobody_has_reached_is_a_projection_timeout() -> None:
    async with Bus(LEDGER, limits=Limits(query_timeout_s=3)) as bus:
        with pytest.raises(ProjectionTimeout):
            await bus.query(GetBalance("a"), after=10**30)


async def test_a_handler_that_is_late_is_a_query_timeout_and_its_snapshot_is_returned() -> None:
    async def endless(query: Ask, views: Views) -> None:
        await views.get(Balance, "a")
        await anyio.sleep_forever()

    store = ToldViewStore()
    application, _ = asking(endless)
    async with Bus(application, view_store=store, limits=Limits(query_timeout_s=3)) as bus:
        receipt = await bus.send(Deposit("a"))
        for after in (None, receipt):
            started = anyio.current_time()
            with pytest.raises(QueryTimeout) as caught:
                await bus.query(Ask(), after=after)
            assert anyio.current_time() - started == pytest.approx(3)
            assert caught.value.query == "Ask"
        assert (store.snapshots_open, store.snapshots_taken >= 2) == (0, True)


async def test_the_wait_and_the_handler_share_one_deadline() -> None:
    async def slow(query: Ask, views: Views) -> None:
        await views.get(Balance, "a")
        await anyio.sleep(6)

    views = ToldViewStore()
    application, _ = asking(slow)
    async with Bus(application, view_store=views) as bus, anyio.create_task_group() as tasks:
        views.hold("balances")
        receipt = await bus.send(Deposit("a"))

        async def release() -> None:
            await anyio.sleep(5)
            views.let_go("balances")

        tasks.start_soon(release)
        started = anyio.current_time()
        with pytest.raises(QueryTimeout):
            await bus.query(Ask(), after=receipt, timeout=10)
        assert anyio.current_time() - started == pytest.approx(10)


async def test_a_cancelled_query_returns_its_snapshot_and_leaves_no_waiter() -> None:
    async def endless(query: Ask, views: Views) -> None:
        await views.get(Balance, "a")
        await anyio.sleep_forever()

    store = ToldViewStore()
    application, _ = asking(endless)
    async with Bus(application, view_store=store) as bus:
        store.hold("balances")
        receipt = await bus.send(Deposit("a"))
        for after in (None, receipt):
            with anyio.move_on_after(1) as scope:
                await bus.query(Ask(), after=after)
            assert scope.cancelled_caught
            assert store.snapshots_open == 0
            assert not bus._opened().read.progress["balances"]._waiters
        store.let_go("balances")


async def test_a_bug_in_a_handler_is_query_failed_with_its_cause_and_the_bus_goes_on() -> None:
    views = ToldViewStore()
    application, _ = asking(lambda query, views: eval(query.text))
    async with Bus(application, view_store=views) as bus:
        for text, kind in (("1 / 0", ZeroDivisionError), ("views.nothing", AttributeError), ("None", TypeError)):
            with pytest.raises(QueryFailed, match=f"raised {kind.__name__}") as caught:
                await bus.query(Ask(text))
            assert isinstance(caught.value.__cause__, kind)
            assert caught.value.query == "Ask"
        assert views.snapshots_open == 0
        await bus.wait_projected(await bus.send(Deposit("a")))


async def test_an_error_of_the_bus_goes_through_a_handler_as_it_is() -> None:
    raised = ProjectionStopped("another bus says so")

    async def passing_on(query: Ask, views: Views) -> None:
        raise raised

    application, _ = asking(passing_on)
    async with Bus(application) as bus:
        with pytest.raises(ProjectionStopped) as caught:
            await bus.query(Ask())
        assert caught.value is raised
        assert caught.value.__cause__ is None


async def test_a_group_of_errors_that_is_no_mere_exception_goes_through_as_it_is() -> None:
    async def interrupted(query: Ask, views: Views) -> None:
        raise BaseExceptionGroup("several", [GeneratorExit()])

    application, _ = asking(interrupted)
    async with Bus(application) as bus:
        with pytest.raises(BaseExceptionGroup, match="several"):
            await bus.query(Ask())


async def test_a_query_that_nobody_answers_says_so() -> None:
    async with Bus(LEDGER) as bus:
        with pytest.raises(UnknownQuery, match="nobody answers Ask"):
            await bus.query(Ask())
        with pytest.raises(UnknownQuery, match="nobody answers str"):
            await bus.query("GetBalance")  # type: ignore[arg-type]
        with pytest.raises(UnknownQuery, match=r"Ask is a class: ask an instance, Ask\(...\)"):
            await bus.query(Ask)  # type: ignore[arg-type]


async def test_a_handler_that_reads_no_view_is_answered_at_once_whatever_it_is_asked_after() -> None:
    async def constant(query: Ask, views: Views) -> str:
        return "constant"

    application, _ = asking(constant)
    async with Bus(application) as bus:
        assert await bus.query(Ask(), after=10**9) == "constant"


async def test_a_view_store_that_is_down_is_told_as_what_it_is() -> None:
    views = ToldViewStore()
    async with Bus(LEDGER, view_store=views) as bus:
        views.is_down = True
        with pytest.raises(StoreUnavailable, match="the view store is down"):
            await bus.query(GetBalance("a"))
        views.is_down = False
        assert await bus.query(GetBalance("a")) is None


async def test_telemetry_hears_of_each_query_with_the_code_of_its_error() -> None:
    telemetry = RecordingTelemetry()
    application, _ = asking(lambda query, views: eval(query.text, {"views": views, **globals()}))
    async with Bus(application, telemetry=telemetry) as bus:
        await bus.query(Ask("views.get(Balance, 'a')"))
        with pytest.raises(QueryFailed):
            await bus.query(Ask("1 / 0"))
        with pytest.raises(QueryTimeout):
            await bus.query(Ask("anyio.sleep_forever()"))
    assert telemetry.queries == [("Ask", None), ("Ask", "query-failed"), ("Ask", "query-timeout")]
