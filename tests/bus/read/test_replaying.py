"""Replaying: what was parked reaches its views in order and once, and live events follow it without a gap."""

import random

import anyio
import msgspec
import pytest

from bus import PARK, STOP, Bus, Limits, MemoryEventStore, MemoryViewStore, Parked, ProjectionStopped, Recorded, Removed
from bus.core.letters import Request
from bus.core.stored import StoredView, ViewChanges, ViewTable
from bus.read.requests import GONE
from tests.support.ledger import (
    AccountEvent,
    Balance,
    Close,
    Deposit,
    Deposited,
    GetBalance,
    balances,
    ledger,
    project_balance,
)
from tests.support.projecting import POISON, of
from tests.support.views import Fault, ToldViewStore


class Switch:
    """A projection of balances that fails at some amounts for as long as it is told to."""

    def __init__(self, *amounts: int) -> None:
        self.amounts = set(amounts)

    def project(self, view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
        if isinstance(recorded.event, Deposited) and recorded.event.amount in self.amounts:
            raise ZeroDivisionError(f"a bug with {recorded.event.amount}")
        return project_balance(view, recorded, key)


async def seen(bus: Bus, account: str = "a") -> list[int]:
    found = await bus.query(GetBalance(account))
    return found.positions if found is not None else []


async def waiting(bus: Bus) -> list[tuple[str, int]]:
    return [(one.key, one.position) async for one in bus.dead_letters()]


async def test_a_retry_brings_a_keys_letters_into_its_view_in_order_and_live_events_follow() -> None:
    switch = Switch(POISON)
    async with Bus(ledger(balances(switch.project, on_poison=PARK))) as bus:
        for amount in (1, POISON, 3):
            await bus.send(Deposit("a", amount))
            await bus.send(Deposit("b", amount))
        await bus.wait_settled()
        assert await waiting(bus) == [("a", 3), ("b", 4), ("a", 5), ("b", 6)]
        switch.amounts.clear()
        done = await bus.retry_dead_letters("balances", key="a")
        assert (done.is_done, done.answer) == (True, "2 events are in the views now")
        assert done.answered_at is not None
        assert await seen(bus) == [1, 3, 5]
        assert await waiting(bus) == [("b", 4), ("b", 6)]
        last = await bus.send(Deposit("a"))
        await bus.query(GetBalance("a"), after=last)
        assert await seen(bus) == [1, 3, 5, 7]
        rest = await bus.retry_dead_letters("balances")
        assert (rest.is_done, await waiting(bus), await seen(bus, "b")) == (True, [], [2, 4, 6])
        assert of(bus.statistics()).parked_keys == 0


async def test_a_retry_that_fails_again_halfway_keeps_what_came_before_and_parks_the_rest() -> None:
    switch = Switch(2, 4)
    async with Bus(ledger(balances(switch.project, on_poison=PARK))) as bus:
        for amount in (1, 2, 3, 4, 5):
            await bus.send(Deposit("a", amount))
        await bus.wait_settled()
        before = [one async for one in bus.dead_letters()]
        switch.amounts.remove(2)
        done = await bus.retry_dead_letters("balances", key="a")
        assert not done.is_done
        assert done.answer == "2 events are in the views now; key 'a' failed again: ZeroDivisionError: a bug with 4"
        assert await seen(bus) == [1, 2, 3]
        left = [one async for one in bus.dead_letters()]
        assert [(one.position, one.error, one.attempts) for one in left] == [
            (4, "ZeroDivisionError: a bug with 4", 1),
            (5, None, 0),
        ]
        assert left[0].first_at == before[2].first_at
        again = await bus.retry_dead_letters("balances", key="a")
        assert (again.is_done, [one.attempts async for one in bus.dead_letters()]) == (False, [2, 0])
        receipt = await bus.send(Deposit("a", 6))
        with pytest.raises(Parked):
            await bus.wait_projected(receipt)
        switch.amounts.clear()
        assert (await bus.retry_dead_letters("balances", key="a")).is_done
        assert await seen(bus) == [1, 2, 3, 4, 5, 6]


async def test_a_letter_that_is_discarded_is_left_out_and_the_others_may_be_retried() -> None:
    switch = Switch(2)
    async with Bus(ledger(balances(switch.project, on_poison=PARK))) as bus:
        for amount in (1, 2, 3):
            await bus.send(Deposit("a", amount))
        await bus.wait_settled()
        (first, _) = [one async for one in bus.dead_letters()]
        assert first.id == "balances:1:2:a"
        done = await bus.discard_dead_letter(first.id, reason="never happened")
        assert (done.is_done, done.answer, done.reason) == (True, "discarded", "never happened")
        assert await waiting(bus) == [("a", 3)]
        assert (await bus.retry_dead_letters("balances")).is_done
        assert await seen(bus) == [1, 3]
        again = await bus.discard_dead_letter(first.id, reason="never happened")
        assert (again.is_done, again.answer) == (False, GONE)


async def test_a_view_that_a_letter_removes_is_removed() -> None:
    switch = Switch(2)
    async with Bus(ledger(balances(switch.project, on_poison=PARK))) as bus:
        for command in (Deposit("a", 1), Deposit("a", 2), Close("a")):
            await bus.send(command)
        await bus.wait_settled()
        switch.amounts.clear()
        assert (await bus.retry_dead_letters("balances")).is_done
        assert await bus.query(GetBalance("a")) is None
        assert await waiting(bus) == []


async def test_events_that_are_no_longer_the_keys_business_are_done_with() -> None:
    store, views = MemoryEventStore(), MemoryViewStore()
    switch = Switch(2)
    async with Bus(ledger(balances(switch.project, on_poison=PARK)), event_store=store, view_store=views) as bus:
        await bus.send(Deposit("a", 2))
        await bus.wait_settled()
    none = ledger(balances(key=lambda recorded: (), on_poison=PARK))
    async with Bus(none, event_store=store, view_store=views) as bus:
        assert (await bus.retry_dead_letters("balances")).is_done
        assert (await waiting(bus), await seen(bus)) == ([], [])


@pytest.mark.parametrize("fault", ["refuse", "before", "after", "late"])
async def test_each_letter_leaves_once_whatever_becomes_of_the_commits(fault: Fault) -> None:
    for when in range(5):
        views, switch = ToldViewStore(), Switch(POISON)
        limits = Limits(projection_events_max=2)
        async with Bus(ledger(balances(switch.project, on_poison=PARK)), view_store=views, limits=limits) as bus:
            for amount in (POISON, 2, 3, 4, 5):
                await bus.send(Deposit("a", amount))
            await bus.wait_settled()
            switch.amounts.clear()
            views.faulty = "balances"
            views.faults.extend([*["none"] * when, fault, fault])  # type: ignore[list-item]
            done = await bus.retry_dead_letters("balances")
            assert (done.is_done, await waiting(bus)) == (True, [])
            last = await bus.send(Deposit("a", 6))
            await bus.query(GetBalance("a"), after=last)
            assert await seen(bus) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("seed", range(20))
async def test_while_events_go_on_coming_none_is_lost_doubled_or_out_of_order(seed: int) -> None:
    chance, switch = random.Random(seed), Switch(POISON)
    limits = Limits(projection_events_max=chance.choice([1, 3, 2_000]), poll_interval_s=0.05)
    store, views = MemoryEventStore(), ToldViewStore()
    application = ledger(balances(switch.project, on_poison=PARK))
    async with Bus(application, event_store=store, view_store=views, limits=limits) as bus:

        async def deposit(account: str) -> None:
            for _ in range(30):
                await bus.send(Deposit(account, POISON if chance.random() < 0.2 else 1))
                await anyio.sleep(chance.random() * 0.1)

        async def mend() -> None:
            for _ in range(15):
                await anyio.sleep(chance.random() * 0.3)
                switch.amounts ^= {POISON}
                if chance.random() < 0.3:
                    views.faults.append(chance.choice(["refuse", "before", "after", "late"]))
                await bus.retry_dead_letters("balances", key=chance.choice(["a", "b", None]))

        async with anyio.create_task_group() as group:
            for account in ("a", "b", "c"):
                group.start_soon(deposit, account)
            group.start_soon(mend)
        switch.amounts.clear()
        assert (await bus.retry_dead_letters("balances")).is_done
        await bus.wait_settled()
        assert await waiting(bus) == []
        for account in ("a", "b", "c"):
            mine = [event.position for event in await store.page(0, 999) if event.stream == f"account-{account}"]
            assert await seen(bus, account) == mine
        assert bus.statistics().restarts == 0


def _request(answer: Request) -> tuple[bool, bool]:
    return answer.answered_at is not None, answer.is_done


async def test_a_request_that_nobody_can_carry_out_waits_for_whoever_projects_next() -> None:
    store, views, switch = MemoryEventStore(), MemoryViewStore(), Switch(2)
    limits = Limits(parked_keys_max=1)
    async with Bus(
        ledger(balances(switch.project, on_poison=PARK)), event_store=store, view_store=views, limits=limits
    ) as bus:
        await bus.send_many([Deposit("a", 2), Deposit("b", 2)])
        with pytest.raises(ProjectionStopped):
            await bus.wait_settled()
        started = anyio.current_time()
        asked = await bus.retry_dead_letters("balances", timeout=5)
        assert _request(asked) == (False, False)
        assert anyio.current_time() - started == pytest.approx(5, abs=0.1)
    async with Bus(ledger(balances(on_poison=PARK)), event_store=store, view_store=views) as bus:
        await bus.wait_settled()
        # They are carried out in the order asked.
        assert (await bus.retry_dead_letters("balances")).answer == "nothing is parked"
        assert [await seen(bus, account) for account in "ab"] == [[1], [2]]
        found = await views.asked(asked.id)
        assert found is not None
        assert found.answered_at is not None


async def test_letters_and_ids_that_there_are_not() -> None:
    async with Bus(ledger(balances(on_poison=PARK))) as bus:
        nothing = await bus.retry_dead_letters("balances", key="a")
        assert (nothing.is_done, nothing.answer) == (True, "key 'a' is not parked")
        assert (await bus.retry_dead_letters("balances")).answer == "nothing is parked"
        with pytest.raises(ValueError, match=r"no id of a dead letter: write projection:version:position:key"):
            await bus.discard_dead_letter("balances", reason="")
        with pytest.raises(TypeError, match="no projection balances version 2"):
            await bus.discard_dead_letter("balances:2:1:a", reason="")
        with pytest.raises(TypeError, match="no projection none"):
            await bus.retry_dead_letters("none")


class Fussy(ToldViewStore):
    """Cannot hold some views, which only the database can tell."""

    cannot: str = ""

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        if self.cannot and any(self.cannot in view.payload.decode() for view in changes.put):
            raise ValueError(f"{self.cannot} cannot be held")
        return await super().commit(table, changes)


@pytest.mark.parametrize("place", range(2, 9))
async def test_a_letter_that_makes_what_the_store_cannot_hold_stays_and_keeps_nobody_else(place: int) -> None:
    switch, views = Switch(2), Fussy()
    async with Bus(ledger(balances(switch.project, on_poison=PARK)), view_store=views) as bus:
        for amount in range(1, 9):
            await bus.send(Deposit("a", amount))
        await bus.wait_settled()
        assert len(await waiting(bus)) == 7
        switch.amounts.clear()
        views.cannot = f",{place}"
        done = await bus.retry_dead_letters("balances")
        assert not done.is_done
        assert done.answer == (
            f"{place - 2} events are in the views now; key 'a' failed again: ValueError: ,{place} cannot be held"
        )
        assert await seen(bus) == list(range(1, place))
        letters = [letter async for letter in bus.dead_letters()]
        assert [letter.position for letter in letters] == list(range(place, 9))
        assert letters[0].error == f"ValueError: ,{place} cannot be held"
        await bus.query(GetBalance("b"), after=await bus.send(Deposit("b", 1)))
        views.cannot = ""
        assert (await bus.retry_dead_letters("balances")).is_done
        assert await seen(bus) == list(range(1, 9))


@pytest.mark.parametrize("place", range(2, 9))
async def test_a_letter_that_makes_what_nobody_can_keep_is_found(place: int) -> None:
    mended = False

    def project(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
        if recorded.position == 2 and not mended:
            raise ZeroDivisionError
        found = project_balance(view, recorded, key)
        assert isinstance(found, Balance)
        return msgspec.structs.replace(found, balance=float("nan")) if recorded.position >= place else found

    async with Bus(ledger(balances(project, on_poison=PARK))) as bus:
        for amount in range(1, 9):
            await bus.send(Deposit("a", amount))
        await bus.wait_settled()
        mended = True
        done = await bus.retry_dead_letters("balances")
        assert done.answer.startswith(f"{place - 2} events are in the views now; key 'a' failed again: ValidationError")
        assert await seen(bus) == list(range(1, place))
        assert [at for _, at in await waiting(bus)] == list(range(place, 9))


async def test_a_parked_key_whose_view_has_another_shape_stops_nobody_when_it_is_retried() -> None:
    switch, events, views = Switch(2), MemoryEventStore(), MemoryViewStore()
    application = ledger(balances(switch.project, on_poison=PARK))
    async with Bus(application, event_store=events, view_store=views) as bus:
        for amount in (1, 2):
            await bus.send(Deposit("a", amount))
        await bus.wait_settled()
    async with views:
        (table,) = [one.table for one in await views.builds() if one.table.projection == "balances"]
        at = (await views.prepare([table]))[table]
        await views.commit(table, ViewChanges(at, at, (StoredView("a", b"{}", (0, "a")),), ()))
    async with Bus(application, event_store=events, view_store=views) as bus:
        done = await bus.retry_dead_letters("balances")
        assert not done.is_done
        assert "the stored view of key 'a' does not decode" in done.answer
        assert await waiting(bus) == [("a", 2)]
        await bus.query(GetBalance("b"), after=await bus.send(Deposit("b", 1)))


async def test_who_waits_is_told_of_letters_also_where_the_projection_parks_no_more() -> None:
    switch, events, views = Switch(2), MemoryEventStore(), MemoryViewStore()
    parks, stops = [ledger(balances(switch.project, on_poison=poison)) for poison in (PARK, STOP)]
    async with Bus(parks, event_store=events, view_store=views) as bus:
        receipt = await bus.send(Deposit("a", 2))
        await bus.wait_settled()
    async with Bus(stops, event_store=events, view_store=views) as bus:
        for one in (receipt, await bus.send(Deposit("a", 1))):
            with pytest.raises(Parked):
                await bus.query(GetBalance("a"), after=one)
            with pytest.raises(Parked):
                await bus.wait_projected(one)
        switch.amounts.clear()
        assert (await bus.retry_dead_letters("balances")).is_done
        await bus.query(GetBalance("a"), after=receipt)
        assert await seen(bus) == [1, 2]
