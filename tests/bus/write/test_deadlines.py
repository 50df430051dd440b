"""Deadlines: nobody waits longer than asked, and what is said then is true."""

import anyio
import pytest

from bus import (
    Bus,
    CommandFailed,
    DeadlineExceeded,
    Limits,
    OutcomeUnknown,
    Overloaded,
)
from tests.support.bank import BANK, Deposit, Open, Touch
from tests.support.sending import begin, names
from tests.support.stores import FakeEventStore, Gate


async def test_a_deadline_that_passes_before_the_decision_means_that_nothing_is_recorded() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        store.script.append(gate.before)
        first = await begin(tasks, bus, Open("a"))
        await gate.reached.wait()
        started = anyio.current_time()
        with pytest.raises(DeadlineExceeded, match="nothing was recorded, and it will not be") as caught:
            await bus.send(Deposit("a", 5), timeout=2)
        assert caught.value.stream == "account-a"
        assert anyio.current_time() - started == pytest.approx(2, abs=0.001)
        gate.release()
        await first.receipt()
        await bus.wait_settled()
        assert await names(bus) == ["account-a 1 Opened"]
        assert bus.statistics().expired == 1


async def test_a_deadline_that_passes_during_the_commit_means_that_the_outcome_is_unknown() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        gate = Gate()
        store.script.append(gate.before)
        with pytest.raises(OutcomeUnknown, match="its deadline passed while it was being recorded"):
            await bus.send(Open("a"), command_id="the-id", timeout=2)
        gate.release()
        again = await bus.send(Open("a"), command_id="the-id")
        assert (again.version, again.duplicate) == (1, True)


async def test_a_deadline_passes_also_while_the_aggregate_is_being_recovered() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        store.read_gate = gate = Gate()
        with pytest.raises(DeadlineExceeded):
            await bus.send(Open("a"), timeout=2)
        gate.release()
        store.read_gate = None
        assert (await bus.send(Open("a"))).version == 1


async def test_the_default_timeout_is_a_limit() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, limits=Limits(send_timeout_s=7)) as bus:
        store.read_gate = gate = Gate()
        started = anyio.current_time()
        with pytest.raises(DeadlineExceeded):
            await bus.send(Open("a"))
        assert anyio.current_time() - started == pytest.approx(7, abs=0.001)
        gate.release()


async def test_each_sender_is_answered_at_its_own_deadline() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        store.read_gate = gate = Gate()
        sent = {}
        for timeout in (3.0, 1.0, 2.0):
            sent[timeout] = await begin(tasks, bus, Touch(f"a{timeout}"), timeout=timeout)
        for passed in (1.0, 2.0, 3.0):
            await anyio.sleep(1.0 if passed > 1 else 1.5)
            assert {timeout for timeout, one in sent.items() if one.is_done} == {
                timeout for timeout in sent if timeout <= passed
            }
        gate.release()


async def test_a_mailbox_that_stays_full_until_the_deadline_answers_overloaded() -> None:
    store = FakeEventStore()
    limits = Limits(mailbox_commands_max=2)
    async with Bus(BANK, event_store=store, limits=limits) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        store.script.append(gate.before)
        opening = await begin(tasks, bus, Open("a"))
        await gate.reached.wait()
        sent = [await begin(tasks, bus, Deposit("a", 1), timeout=2) for _ in range(3)]
        outcomes = [await one.outcome() for one in sent]
        assert [type(one) for one in outcomes] == [DeadlineExceeded, DeadlineExceeded, Overloaded]
        assert "had no room" in str(outcomes[2])
        gate.release()
        await opening.receipt()
        assert (await bus.send(Deposit("a", 2))).version == 2, "what was answered is not recorded"


async def test_who_waits_for_room_gets_it_in_time() -> None:
    store = FakeEventStore()
    limits = Limits(mailbox_commands_max=1)
    async with Bus(BANK, event_store=store, limits=limits) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        store.script.append(gate.before)
        opening = await begin(tasks, bus, Open("a"))
        await gate.reached.wait()
        sent = [await begin(tasks, bus, Deposit("a", 1), timeout=2) for _ in range(3)]
        gate.release()
        assert [(await one.receipt()).version for one in [opening, *sent]] == [1, 2, 3, 4]


async def test_a_late_sender_is_not_told_that_nothing_is_recorded_while_its_twin_still_waits() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        store.script.append(gate.before)
        await begin(tasks, bus, Open("b"))
        await gate.reached.wait()
        first = await begin(tasks, bus, Open("a"), command_id="the-id", timeout=1)
        twin = await begin(tasks, bus, Open("a"), command_id="the-id", timeout=5)
        assert isinstance(await first.outcome(), OutcomeUnknown)
        gate.release()
        assert (await twin.receipt()).version == 1


async def test_twins_whose_deadlines_pass_together_are_told_that_nothing_is_recorded() -> None:
    store = FakeEventStore()
    limits = Limits(mailbox_commands_max=1)
    async with Bus(BANK, event_store=store, limits=limits) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        store.script.append(gate.before)
        await begin(tasks, bus, Open("b"))
        await gate.reached.wait()
        ids = ["1", "1", "2", "2"]
        sent = [await begin(tasks, bus, Touch("a"), command_id=one, timeout=1) for one in ids]
        assert [type(await one.outcome()) for one in sent] == [
            DeadlineExceeded,
            DeadlineExceeded,
            Overloaded,
            Overloaded,
        ]
        gate.release()
        await bus.wait_settled()
        assert bus.statistics().expired == 4


async def test_a_late_twin_of_a_command_that_is_being_recorded_does_not_know() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        store.script.append(gate.before)
        first = await begin(tasks, bus, Open("a"), command_id="the-id")
        await gate.reached.wait()
        with pytest.raises(OutcomeUnknown):
            await bus.send(Open("a"), command_id="the-id", timeout=1)
        gate.release()
        await first.receipt()


@pytest.mark.parametrize("timeout", [0, -1, float("-inf")])
async def test_no_time_at_all_is_enough_for_nothing(timeout: float) -> None:
    async with Bus(BANK) as bus:
        for outcome in await bus.send_many([Open("a"), Open("b")], timeout=timeout):
            assert isinstance(outcome, DeadlineExceeded)
        with pytest.raises(DeadlineExceeded, match="nothing was recorded"):
            await bus.send(Open("a"), command_id="the-id", timeout=timeout)
        await bus.wait_settled()
        assert bus.statistics().position == 0
        assert (await bus.send(Open("a"), command_id="the-id")).version == 1


async def test_a_twin_without_time_does_not_know() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        store.script.append(gate.before)
        first = await begin(tasks, bus, Open("a"), command_id="the-id")
        await gate.reached.wait()
        with pytest.raises(OutcomeUnknown):
            await bus.send(Open("a"), command_id="the-id", timeout=0)
        gate.release()
        await first.receipt()


async def test_a_timeout_that_is_no_number_is_refused() -> None:
    async with Bus(BANK) as bus:
        for nonsense in (float("nan"), "5", [5]):
            with pytest.raises(CommandFailed, match=r"its timeout is .*, not a number of seconds"):
                await bus.send(Open("a"), timeout=nonsense)  # type: ignore[arg-type]
        assert (await bus.send(Open("a"), timeout=float("inf"))).version == 1


async def test_who_waits_for_room_is_not_told_that_nothing_is_recorded_while_its_twin_still_waits() -> None:
    store = FakeEventStore()
    limits = Limits(mailbox_commands_max=1)
    async with Bus(BANK, event_store=store, limits=limits) as bus, anyio.create_task_group() as tasks:
        store.read_gate = gate = Gate()
        await begin(tasks, bus, Open("a"))
        first = await begin(tasks, bus, Touch("a"), command_id="1", timeout=1)
        twin = await begin(tasks, bus, Touch("a"), command_id="1", timeout=5)
        assert isinstance(await first.outcome(), OutcomeUnknown)
        gate.release()
        assert (await twin.receipt()).version == 1
