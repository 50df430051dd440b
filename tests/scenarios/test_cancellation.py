"""A sender that is cancelled: dropped before the decision, recorded once staged, and never in anybody's way."""

import anyio
import pytest

from bus import Bus, MemoryEventStore
from tests.support.bank import BANK, Deposit, Misbehave, Open, Touch
from tests.support.sending import begin, names, receipt
from tests.support.stores import FakeEventStore, Gate


async def test_a_command_whose_sender_is_cancelled_before_the_decision_is_dropped() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        store.script.append(gate.before)
        opening = await begin(tasks, bus, Open("a"))
        await gate.reached.wait()
        sent = [await begin(tasks, bus, Deposit("a", amount)) for amount in range(5)]
        for place in (0, 2, 4):
            sent[place].cancel()
        await anyio.wait_all_tasks_blocked()
        gate.release()
        await opening.receipt()
        assert [(await sent[place].receipt()).version for place in (1, 3)] == [2, 3]
        await bus.wait_settled()
        assert len(await names(bus)) == 3
        assert bus.statistics().commands_in_flight == 0


async def test_a_command_whose_sender_is_cancelled_once_staged_is_recorded() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        store.script.append(gate.before)
        sent = await begin(tasks, bus, Open("a"), command_id="the-id")
        await gate.reached.wait()
        sent.cancel()
        await anyio.wait_all_tasks_blocked()
        gate.release()
        await bus.wait_settled()
        assert await names(bus) == ["account-a 1 Opened"]
        assert (await bus.send(Open("a"), command_id="the-id")).duplicate


async def test_a_command_whose_sender_is_cancelled_during_recovery_is_dropped() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        store.read_gate = gate = Gate()
        sent = await begin(tasks, bus, Open("a"))
        other = await begin(tasks, bus, Touch("a"))
        await gate.reached.wait()
        sent.cancel()
        await anyio.wait_all_tasks_blocked()
        gate.release()
        assert (await other.receipt()).version == 0
        assert await names(bus) == []


async def test_a_command_that_waits_for_a_crashing_aggregate_can_be_cancelled() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        await bus.send_many([Misbehave("a", "raise")] * 9)
        with anyio.move_on_after(0.01) as scope:
            await bus.send(Open("a"))
        assert scope.cancelled_caught
        assert (await bus.send(Open("a"))).version == 1


async def test_a_cancelled_send_many_takes_nothing_back_and_leaves_nothing_behind() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        gate = Gate()
        await bus.send(Touch("a"))
        store.script.append(gate.before)

        async def send() -> None:
            await bus.send_many([Open("a")] + [Deposit("b", 1)] * 9)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await gate.reached.wait()
            await begin(tasks, bus, Deposit("a", 1))
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        gate.release()
        await bus.wait_settled()
        assert await names(bus) == ["account-a 1 Opened"]
        assert bus.statistics().commands_in_flight == 0


@pytest.mark.parametrize("steps", range(12))
async def test_wherever_a_sender_is_cancelled_the_bus_goes_on(steps: int) -> None:
    store = MemoryEventStore()
    async with Bus(BANK, event_store=store) as bus:
        async with anyio.create_task_group() as tasks:
            sent = await begin(tasks, bus, Open("a"), command_id="the-id")
            other = await begin(tasks, bus, Deposit("b", 1))
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            sent.cancel()
            assert (await other.outcome()).code == "rejected.not-open"  # type: ignore[union-attr]
        await bus.wait_settled()
        recorded = await names(bus)
        assert recorded in ([], ["account-a 1 Opened"])
        taken = receipt((await bus.send_many([Open("a")], command_ids=["the-id"]))[0])
        assert taken.duplicate is bool(recorded)
        assert bus.statistics().restarts == 0
