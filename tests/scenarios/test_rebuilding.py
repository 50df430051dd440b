"""Views are built beside those that answer, and answer in their place once they have seen all that these have."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from bus import Bus, Limits, MemoryEventStore, MemoryViewStore, Recorded, Removed
from bus.core.errors import ViewNotBuilt, ViewsDropped
from bus.core.letters import Request
from tests.support.building import (
    GetTotal,
    HeldViewStore,
    TurningClock,
    builds_of,
    project_doubled,
    raised,
    reshaped,
    states_of,
)
from tests.support.ledger import LEDGER, AccountEvent, Balance, Deposit, Deposited, GetBalance, GetBalances, balances

QUICK = Limits(replaced_grace_s=60.0)


async def fill(events: MemoryEventStore, views: MemoryViewStore, deposits: int = 20) -> None:
    """The present release has run for a while."""
    async with Bus(LEDGER, event_store=events, view_store=views) as bus:
        await bus.send_many([Deposit(f"a-{number % 3}") for number in range(deposits)])
        await bus.wait_settled()


@asynccontextmanager
async def rebuilding(deposits: int = 20) -> AsyncGenerator[tuple[Bus, HeldViewStore]]:
    """A bus of the next release, whose views are not yet built, and wait for `gate`."""
    events, views = MemoryEventStore(), HeldViewStore()
    await fill(events, views, deposits)
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        yield bus, views


async def test_the_version_before_answers_until_the_new_one_has_caught_up() -> None:
    async with rebuilding() as (bus, views):
        assert await states_of(views) == [(1, 0, "answering"), (2, 0, "building")]
        receipt = await bus.send(Deposit("a-0"))
        old = await bus.query(GetBalance("a-0"), after=receipt)
        assert old is not None
        assert old.balance == 8
        views.gate.set()
        await bus.wait_settled()
        assert await states_of(views) == [(1, 0, "replaced"), (2, 0, "answering")]
        new = await bus.query(GetBalance("a-0"))
        assert new is not None
        assert (new.balance, new.positions) == (16, old.positions)


async def test_both_versions_see_exactly_the_same_events() -> None:
    async with rebuilding() as (bus, views):
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(bus.send, Deposit(f"a-{number % 3}", number))
                if number == 25:
                    views.gate.set()
        await bus.wait_settled()
        # What was replaced goes on beside it, and nobody who asks waits for it.
        # The bus may answer from the one before, and be settled, until the one after it has come as far.
        for projector in bus._opened().read.lineages.lineages["balances"].projectors.values():
            await projector.progress.wait(bus.statistics().position)
        old, new = await builds_of(views)
        assert old.checkpoint == new.checkpoint
        async with views.snapshot() as reader:
            before = dict(await reader.find(old.table, {}, None, False, 99))
            after = dict(await reader.find(new.table, {}, None, False, 99))
        assert before.keys() == after.keys()
        for found in await bus.query(GetBalances()):
            assert found.positions == sorted(set(found.positions))


async def test_no_answer_goes_back_when_others_begin_to_answer() -> None:
    async with rebuilding() as (bus, views):
        seen: list[tuple[int, int]] = []

        async def ask() -> None:
            while True:
                found = await bus.query(GetBalance("a-0"))
                assert found is not None
                seen.append((len(found.positions), found.balance // len(found.positions)))
                await anyio.sleep(0.001)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            for number in range(60):
                await bus.send(Deposit("a-0"))
                await anyio.sleep(0.0005)
                if number == 20:
                    views.gate.set()
            await bus.wait_settled()
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()
        assert [count for count, _ in seen] == sorted(count for count, _ in seen)
        assert [version for _, version in seen] == sorted(version for _, version in seen)
        assert {version for _, version in seen} == {1, 2}


async def test_a_build_goes_on_where_it_was_when_the_bus_is_opened_again() -> None:
    events, views = MemoryEventStore(), HeldViewStore()
    await fill(events, views)
    seen: list[int] = []

    def project(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
        seen.append(recorded.position)
        return project_doubled(view, recorded, key)

    limits = Limits(projection_events_max=5)
    application = raised(project=project)
    views.passing = 2
    async with Bus(application, event_store=events, view_store=views, limits=limits):
        await anyio.wait_all_tasks_blocked()
    async with views:
        assert [one.checkpoint.position for one in await builds_of(views)] == [20, 10]
    seen.clear()
    views.gate.set()
    async with Bus(application, event_store=events, view_store=views, limits=limits) as bus:
        await bus.wait_settled()
        assert seen == [*range(11, 21)]
        assert await states_of(views) == [(1, 0, "replaced"), (2, 0, "answering")]


async def test_where_nothing_was_projected_before_nothing_is_built_beside_it() -> None:
    views = MemoryViewStore()
    async with Bus(raised(), view_store=views) as bus:
        await bus.send(Deposit("a"))
        await bus.wait_settled()
        assert await states_of(views) == [(2, 0, "answering")]
        found = await bus.query(GetBalance("a"))
        assert found is not None
        assert found.balance == 2


async def test_views_of_another_shape_are_not_asked_for_before_they_are_built() -> None:
    events, views = MemoryEventStore(), HeldViewStore()
    await fill(events, views)
    async with Bus(reshaped(), event_store=events, view_store=views) as bus:
        with pytest.raises(ViewNotBuilt, match="Total of projection 'balances' version 2 are being built"):
            await bus.query(GetTotal("a-0"))
        views.gate.set()
        await bus.wait_settled()
        assert await bus.query(GetTotal("a-0")) == 7


async def test_a_process_of_the_release_before_answers_from_its_views_until_they_are_dropped() -> None:
    events, views = MemoryEventStore(shared=True), HeldViewStore(shared=True)
    async with Bus(LEDGER, event_store=events, view_store=views) as old:
        await old.send_many([Deposit("a")] * 5)
        await old.wait_settled()
        async with Bus(reshaped(), event_store=events, view_store=views, limits=QUICK) as new:
            receipt = await new.send(Deposit("a"))
            found = await old.query(GetBalance("a"), after=receipt)
            assert found is not None
            assert found.balance == 6
            views.gate.set()
            await new.wait_projected(receipt)
            await new.wait_settled()
            assert await states_of(views) == [(1, 0, "replaced"), (2, 0, "answering")]
            receipt = await old.send(Deposit("a"))
            assert await new.query(GetTotal("a"), after=receipt) == 7
            assert (await old.query(GetBalance("a"), after=receipt)) is not None
            done = await new.ask_projection("balances", "drop")
            assert (done.is_done, done.answer) == (True, "version 1 was dropped")
            with pytest.raises(ViewsDropped, match="were dropped"):
                await old.query(GetBalance("a"))


async def test_what_was_replaced_is_dropped_after_a_while() -> None:
    async with rebuilding() as (bus, views):
        views.gate.set()
        await bus.wait_settled()
        await anyio.sleep(59)
        assert await states_of(views) == [(1, 0, "replaced"), (2, 0, "answering")]
        await anyio.sleep(2)
        assert await states_of(views) == [(2, 0, "answering")]
        await bus.send(Deposit("a-0"))
        await bus.wait_settled()
    # It has no previous one any more, which hinders nobody.
    assert bus.report is not None
    assert bus.report.is_clean


async def test_the_same_version_is_built_anew_on_request() -> None:
    events, views = MemoryEventStore(), MemoryViewStore()
    await fill(events, views)
    async with Bus(LEDGER, event_store=events, view_store=views, limits=QUICK) as bus:
        asked = await bus.ask_projection("balances", "rebuild")
        assert (asked.is_done, asked.answer) == (
            True,
            "version 1 build 1 is being built, and answers once it has caught up",
        )
        await bus.wait_settled()
        assert await states_of(views) == [(1, 0, "replaced"), (1, 1, "answering")]
        found = await bus.query(GetBalance("a-0"))
        assert found is not None
        assert found.balance == 7
    async with Bus(LEDGER, event_store=events, view_store=views, limits=QUICK) as bus:
        found = await bus.query(GetBalance("a-0"))
        assert found is not None
        assert found.balance == 7
        assert (await bus.ask_projection("balances", "drop")).answer == "version 1 was dropped"
        assert await states_of(views) == [(1, 1, "answering")]
        await bus.ask_projection("balances", "rebuild")
        await bus.wait_settled()
        assert await states_of(views) == [(1, 1, "replaced"), (1, 2, "answering")]


async def test_one_build_at_a_time() -> None:
    async with rebuilding() as (bus, views):
        asked = await bus.ask_projection("balances", "rebuild")
        assert not asked.is_done
        assert "version 2 is being built already" in asked.answer
        assert len(await states_of(views)) == 2


async def test_what_was_replaced_may_answer_again_while_it_is_kept() -> None:
    async with rebuilding() as (bus, views):
        views.gate.set()
        await bus.wait_settled()
        receipt = await bus.send(Deposit("a-0"))
        await bus.wait_settled()
        back = await bus.ask_projection("balances", "switch")
        assert (back.is_done, back.answer) == (True, "version 1 answers now")
        assert await states_of(views) == [(1, 0, "answering"), (2, 0, "replaced")]
        found = await bus.query(GetBalance("a-0"), after=receipt)
        assert found is not None
        assert found.balance == 8
        await anyio.sleep(61)
        assert await states_of(views) == [(1, 0, "answering")]


async def test_a_build_is_given_up_on_request() -> None:
    async with rebuilding() as (bus, views):
        dropped = await bus.ask_projection("balances", "drop")
        assert (dropped.is_done, dropped.answer) == (True, "version 2 was dropped")
        assert await states_of(views) == [(1, 0, "answering")]
        assert (await bus.ask_projection("balances", "drop")).answer == "there is nothing to drop but what answers"
        switched = await bus.ask_projection("balances", "switch")
        assert not switched.is_done
        assert "nothing to switch to" in switched.answer
        found = await bus.query(GetBalance("a-0"))
        assert found is not None
        assert found.balance == 7


async def test_a_build_that_stops_changes_nothing_for_those_who_ask() -> None:
    def project(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
        raise ZeroDivisionError("a bug in the new version")

    events, views = MemoryEventStore(), MemoryViewStore()
    await fill(events, views)
    async with Bus(raised(project=project), event_store=events, view_store=views) as bus:
        await bus.wait_settled()
        receipt = await bus.send(Deposit("a-0"))
        found = await bus.query(GetBalance("a-0"), after=receipt)
        assert found is not None
        assert found.balance == 8
        switched: Request = await bus.ask_projection("balances", "switch")
        assert not switched.is_done
        assert "version 2 has stopped at position 0: ZeroDivisionError: a bug in the new version" in switched.answer
        assert await states_of(views) == [(1, 0, "answering"), (2, 0, "building")]


async def test_a_projection_that_stopped_is_replaced_by_one_that_does_better() -> None:
    def poisoned(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
        if isinstance(recorded.event, Deposited) and recorded.event.amount == 13:
            raise ZeroDivisionError("a bug in the old version")
        return project_doubled(view, recorded, key)

    events, views = MemoryEventStore(), MemoryViewStore()
    await fill(events, views)
    async with Bus(raised(balances(poisoned), version=2), event_store=events, view_store=views) as bus:
        await bus.send(Deposit("a-0", 13))
        await bus.send(Deposit("a-0", 1))
        await bus.wait_settled()
        assert (await states_of(views))[-1] == (2, 0, "answering")
        found = await bus.query(GetBalance("a-0"))
        assert found is not None
        assert found.balance == 2 * (7 + 13 + 1)


async def test_an_action_that_there_is_not_is_refused() -> None:
    async with Bus(LEDGER) as bus:
        with pytest.raises(ValueError, match="can be asked to 'rebuild', 'switch' or 'drop', not to 'retry'"):
            await bus.ask_projection("balances", "retry")
