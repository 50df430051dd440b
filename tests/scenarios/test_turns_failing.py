"""Turns beside each other that fail: whatever becomes of one, the other stands."""

import anyio
import pytest

from bus import Bus, BusClosed, Limits, OutcomeUnknown, Receipt, StoreUnavailable
from bus.core.stored import Appended
from tests.support import ledger
from tests.support.bank import BANK, Deposit, Overdrawn, Touch, Withdraw
from tests.support.projecting import journal_matches
from tests.support.sending import begin, names
from tests.support.stores import Gate, Record, lost_after, lost_before
from tests.support.turns import ONE, two_at_a_time, warm


@pytest.mark.parametrize("failure", ["before", "after"])
async def test_a_batch_that_fails_for_certain_leaves_the_one_beside_it_alone(failure: str) -> None:
    store, gate = two_at_a_time(), Gate()
    async with Bus(BANK, event_store=store, limits=ONE) as bus, anyio.create_task_group() as tasks:
        await warm(bus, "a", "b")
        store.script.extend([gate.unavailable, gate.before] if failure == "after" else [gate.before, gate.unavailable])
        sent = [await begin(tasks, bus, Deposit("a", 5)), await begin(tasks, bus, Deposit("b", 5))]
        await anyio.wait_all_tasks_blocked()
        later = [await begin(tasks, bus, Withdraw("a", 5)), await begin(tasks, bus, Withdraw("b", 5))]
        gate.release()
        found = [await one.outcome() for one in sent]
        assert {type(one) for one in found} == {Receipt, StoreUnavailable}
        # Whoever's deposit was refused has nothing to withdraw, and the other one has.
        for one, withdrawal in zip(found, later, strict=True):
            assert isinstance(await withdrawal.outcome(), Receipt if isinstance(one, Receipt) else Overdrawn)
        assert bus.statistics().restarts == 0


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
async def test_while_one_batch_is_uncertain_others_are_recorded_and_it_is_appended_as_it_was(shared: bool) -> None:
    store = two_at_a_time(shared=shared)
    async with Bus(BANK, event_store=store, limits=ONE) as bus, anyio.create_task_group() as tasks:
        await warm(bus, "a", "b")
        gate = Gate()
        store.script.append(gate.lost)
        first = await begin(tasks, bus, Deposit("a", 5))
        await gate.reached.wait()
        uncertain = store.batches[-1]
        gate.release()
        second = await bus.send(Deposit("b", 1))
        assert not first.is_done, "it is tried again after a pause"
        receipt = await first.receipt()
        assert (receipt.position, receipt.duplicate) == (second.position + 1, False)
        assert store.batches[-1] == uncertain


async def test_a_batch_whose_answer_was_lost_is_known_for_its_own_behind_another() -> None:
    store = two_at_a_time()
    async with Bus(BANK, event_store=store, limits=ONE) as bus, anyio.create_task_group() as tasks:
        await warm(bus, "a", "b")
        store.script.append(lost_after)
        first = await begin(tasks, bus, Deposit("a", 5))
        await anyio.wait_all_tasks_blocked()
        second = await bus.send(Deposit("b", 1))
        receipt = await first.receipt()
        assert (receipt.position, second.position, receipt.duplicate) == (3, 4, False)
        assert await names(bus) == [
            "account-a 1 Opened",
            "account-b 1 Opened",
            "account-a 2 Deposited",
            "account-b 2 Deposited",
        ]


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize("lost", [lost_before, lost_after], ids=["lost", "recorded"])
async def test_a_batch_that_stays_unknown_leaves_the_other_known(lost: object, shared: bool) -> None:
    store, gate = two_at_a_time(shared=shared), Gate()
    limits = Limits(turn_actors_min=1, append_attempts_max=1)
    async with Bus(ledger.LEDGER, event_store=store, limits=limits) as bus, anyio.create_task_group() as tasks:
        await bus.send_many([ledger.Deposit("a", 1), ledger.Deposit("b", 1)])
        store.script.extend([gate.after, lost])  # type: ignore[list-item]
        known = await begin(tasks, bus, ledger.Deposit("a", 2))
        await gate.reached.wait()
        unknown = await begin(tasks, bus, ledger.Deposit("b", 3))
        assert isinstance(await unknown.outcome(), OutcomeUnknown)
        gate.release()
        assert (await known.receipt()).version == 2
        recorded = 3 + (lost is lost_after)
        await bus.wait_settled()
        assert bus.statistics().position == recorded
        assert await journal_matches(bus, store)


async def test_a_turn_that_crashes_takes_nothing_of_the_one_beside_it_along() -> None:
    store, gate = two_at_a_time(), Gate()

    async def nonsense(record: Record) -> Appended:
        await gate.passed()
        return Appended(0, {0: object()})  # type: ignore[dict-item]

    async with Bus(BANK, event_store=store, limits=ONE) as bus, anyio.create_task_group() as tasks:
        await warm(bus, "a", "b", "c")
        other_gate = Gate()
        store.script.append(nonsense)
        sent = [await begin(tasks, bus, Deposit("a", 1))]
        await gate.reached.wait()
        behind = [await begin(tasks, bus, Deposit("a", 2))]
        await bus.send(Deposit("c", 1))
        store.script.append(other_gate.before)
        sent.append(await begin(tasks, bus, Deposit("b", 1)))
        await other_gate.reached.wait()
        behind.append(await begin(tasks, bus, Deposit("b", 2)))
        gate.release()
        assert isinstance(await sent[0].outcome(), OutcomeUnknown)
        assert (await behind[0].receipt()).version == 2, "what was behind it is decided anew"
        await anyio.wait_all_tasks_blocked()
        assert not sent[1].is_done
        other_gate.release()
        assert [(await one.receipt()).version for one in (sent[1], behind[1])] == [2, 3]
        assert bus.statistics().restarts == 1


async def test_closing_answers_who_is_in_either_turn_and_behind_them() -> None:
    store, gate = two_at_a_time(), Gate()
    limits = Limits(turn_actors_min=1, shutdown_timeout_s=1)
    async with anyio.create_task_group() as tasks:
        bus = Bus(BANK, event_store=store, limits=limits)
        async with bus:
            await warm(bus, "a", "b")
            store.script.extend([gate.before, gate.before])
            staged = [await begin(tasks, bus, Deposit(account, 1)) for account in "ab"]
            await anyio.wait_all_tasks_blocked()
            behind = [await begin(tasks, bus, Deposit(account, 1)) for account in "ab"]
        assert [type(await one.outcome()) for one in staged] == [OutcomeUnknown] * 2
        assert [type(await one.outcome()) for one in behind] == [BusClosed] * 2
        assert bus.report is not None
        assert bus.report.commands == 4


@pytest.mark.parametrize("crashes", [False, True], ids=["commits", "crashes"])
async def test_a_cold_aggregate_recovered_while_its_turn_goes_on_belongs_to_the_next_one_alone(crashes: bool) -> None:
    store, gates = two_at_a_time(), (Gate(), Gate())

    async def nonsense(record: Record) -> Appended:
        await gates[0].passed()
        return Appended(0, {0: object()})  # type: ignore[dict-item]

    async with Bus(BANK, event_store=store) as bus:
        await warm(bus, "a", "cold")
    limits = Limits(turn_actors_min=2)
    async with Bus(BANK, event_store=store, limits=limits) as bus, anyio.create_task_group() as tasks:
        await warm(bus, "b", "c", "d")
        await bus.send(Touch("a"))
        before = Gate()
        store.script.extend([before.before, nonsense if crashes else gates[0].before, gates[1].before])
        store.read_gate = read_gate = Gate()
        # Two that wait make one turn: one of them is to be committed, the other one to be recovered.
        other = await begin(tasks, bus, Deposit("c", 1))
        await before.reached.wait()
        sent = [await begin(tasks, bus, Deposit(account, 1)) for account in ("a", "cold")]
        await gates[0].reached.wait()
        before.release()
        await other.receipt()
        read_gate.release()
        await anyio.wait_all_tasks_blocked()
        sent.append(await begin(tasks, bus, Deposit("b", 1)))
        await gates[1].reached.wait()
        assert {entry.stream for entry in store.batches[-1]} == {"account-cold", "account-b"}
        behind = await begin(tasks, bus, Deposit("cold", 2))
        gates[0].release()
        assert isinstance(await sent[0].outcome(), OutcomeUnknown if crashes else Receipt)
        assert all(isinstance(one, Receipt) for one in await bus.send_many([Deposit("c", 1), Deposit("d", 1)]))
        assert not behind.is_done, "its aggregate is in the turn that goes on"
        gates[1].release()
        assert [(await one.receipt()).version for one in (sent[1], behind)] == [2, 3]
        streams = [[entry.stream for entry in batch].count("account-cold") for batch in store.batches[-4:]]
        assert max(streams) == 1
