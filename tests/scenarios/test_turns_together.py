"""Turns beside each other, on a store that takes two appends at a time: who is in which, and what order they keep."""

import anyio
import pytest

from bus import Bus, CommandIdReused, DeadlineExceeded, Limits, OutcomeUnknown
from tests.support import ledger
from tests.support.bank import ACCOUNT, BANK, Account, Deposit, Touch, Withdraw
from tests.support.projecting import journal_matches
from tests.support.sending import begin, names
from tests.support.stores import Gate
from tests.support.telemetry import RecordingTelemetry
from tests.support.turns import ONE, outcomes, two_at_a_time, warm


async def test_a_batch_is_decided_and_recorded_while_another_awaits_its_commit() -> None:
    store, gate = two_at_a_time(), Gate()
    async with Bus(BANK, event_store=store, limits=ONE) as bus, anyio.create_task_group() as tasks:
        await warm(bus, "a", "b")
        store.script.append(gate.before)
        first = await begin(tasks, bus, Deposit("a", 1))
        await gate.reached.wait()
        assert (await bus.send(Deposit("b", 1))).position == 3
        assert not first.is_done
        gate.release()
        assert (await first.receipt()).position == 4


async def test_fewer_than_are_worth_a_turn_wait_for_the_one_under_way() -> None:
    store, gate = two_at_a_time(), Gate()
    async with (
        Bus(BANK, event_store=store, limits=Limits(turn_actors_min=3)) as bus,
        anyio.create_task_group() as tasks,
    ):
        await warm(bus, "a", "b", "c", "d")
        store.script.append(gate.before)
        first = await begin(tasks, bus, Deposit("a", 1))
        await gate.reached.wait()
        two = [await begin(tasks, bus, Deposit(account, 1)) for account in "bc"]
        await anyio.wait_all_tasks_blocked()
        assert not any(one.is_done for one in two)
        assert (await bus.send(Deposit("d", 1))).version == 2, "the third makes it worth while"
        assert [(await one.receipt()).version for one in two] == [2, 2]
        gate.release()
        await first.receipt()


async def test_one_aggregate_is_in_one_turn_and_its_commands_keep_their_order() -> None:
    store, gate = two_at_a_time(), Gate()
    async with Bus(BANK, event_store=store, limits=ONE) as bus, anyio.create_task_group() as tasks:
        await warm(bus, "a", "b")
        store.script.append(gate.before)
        sent = [await begin(tasks, bus, Deposit("a", 5))]
        await gate.reached.wait()
        sent += [await begin(tasks, bus, one) for one in (Withdraw("a", 7), Withdraw("a", 4), Touch("a"))]
        for _ in range(3):
            await bus.send(Deposit("b", 1))
        assert not any(one.is_done for one in sent)
        gate.release()
        assert await outcomes(sent) == ["Receipt", "Overdrawn", "Receipt", "Receipt"]
        assert (await bus.load(ACCOUNT, "a")).state == Account(True, 1)


async def test_those_for_whom_a_turn_has_no_room_are_in_the_turn_beside_it() -> None:
    store, gate = two_at_a_time(), Gate()
    limits = Limits(turn_actors_min=1, batch_commands_max=2)
    async with Bus(BANK, event_store=store, limits=limits) as bus, anyio.create_task_group() as tasks:
        await warm(bus, *"abcdef")
        await bus.wait_settled()
        before = len(store.batches)
        store.script.extend([gate.before, gate.before])
        tasks.start_soon(bus.send_many, [Deposit(account, 1) for account in "abcdef"])
        await anyio.wait_all_tasks_blocked()
        assert [[entry.stream for entry in batch] for batch in store.batches[before:]] == [
            ["account-a", "account-b"],
            ["account-c", "account-d"],
        ]
        gate.release()
        await bus.wait_settled()
        assert bus.statistics().events == 12


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
async def test_a_view_has_both_batches_in_order_when_the_later_one_is_answered_first(shared: bool) -> None:
    store, gate = two_at_a_time(shared=shared), Gate()
    async with (
        Bus(ledger.LEDGER, event_store=store, limits=ONE) as bus,
        anyio.create_task_group() as tasks,
    ):
        await bus.send_many([ledger.Deposit("a", 1), ledger.Deposit("b", 1)])
        store.script.append(gate.after)
        first = await begin(tasks, bus, ledger.Deposit("a", 2))
        await gate.reached.wait()
        second = await bus.send(ledger.Deposit("b", 3))
        assert second.position == 4
        assert await journal_matches(bus, store), "it has the first one's events, though that one is not answered"
        assert not first.is_done
        gate.release()
        assert (await first.receipt()).position == 3
        assert bus.statistics().position == 4
        await bus.send(ledger.Deposit("a", 4))
        assert await journal_matches(bus, store)


async def test_a_command_id_is_decided_in_one_of_the_turns_and_joined_by_whoever_sends_it_too() -> None:
    store, gate = two_at_a_time(), Gate()
    async with Bus(BANK, event_store=store, limits=ONE) as bus, anyio.create_task_group() as tasks:
        await warm(bus, "a", "b")
        store.script.append(gate.before)
        first = await begin(tasks, bus, Deposit("a", 5), command_id="the-id")
        await gate.reached.wait()
        twin = await begin(tasks, bus, Deposit("a", 5), command_id="the-id")
        with pytest.raises(CommandIdReused):
            await bus.send(Deposit("b", 5), command_id="the-id")
        await bus.send(Deposit("b", 1))
        gate.release()
        assert ((await first.receipt()).duplicate, (await twin.receipt()).duplicate) == (False, True)
        assert (await bus.load(ACCOUNT, "a")).version == 2


async def test_deadlines_are_kept_in_both_turns_and_by_who_waits_behind_them() -> None:
    store, gate = two_at_a_time(), Gate()
    async with Bus(BANK, event_store=store, limits=ONE) as bus, anyio.create_task_group() as tasks:
        await warm(bus, "a", "b", "c")
        store.script.append(gate.before)
        sent = [await begin(tasks, bus, Deposit("a", 1), timeout=2)]
        await gate.reached.wait()
        behind = [await begin(tasks, bus, Deposit("a", 1), timeout=1)]
        await bus.send(Deposit("c", 1))
        assert bus.statistics().mailboxes == 1, "a turn that has passed it by has not lost it"
        store.script.append(gate.before)
        sent.append(await begin(tasks, bus, Deposit("b", 1), timeout=3))
        await anyio.wait_all_tasks_blocked()
        behind.append(await begin(tasks, bus, Deposit("b", 1), timeout=1))
        started = anyio.current_time()
        assert [type(await one.outcome()) for one in behind] == [DeadlineExceeded] * 2
        assert anyio.current_time() - started == pytest.approx(1)
        assert [type(await one.outcome()) for one in sent] == [OutcomeUnknown] * 2
        assert anyio.current_time() - started == pytest.approx(3)
        gate.release()
        await bus.wait_settled()
        assert len(await names(bus)) == 6


async def test_of_cancelled_senders_what_is_staged_in_either_turn_is_recorded_and_nothing_else() -> None:
    store, gate = two_at_a_time(), Gate()
    async with Bus(BANK, event_store=store, limits=ONE) as bus, anyio.create_task_group() as tasks:
        await warm(bus, "a", "b")
        store.script.extend([gate.before, gate.before])
        staged = [await begin(tasks, bus, Deposit(account, 1)) for account in "ab"]
        await anyio.wait_all_tasks_blocked()
        behind = [await begin(tasks, bus, Deposit(account, 1)) for account in "ab"]
        for one in [*staged, *behind]:
            one.cancel()
        await anyio.wait_all_tasks_blocked()
        gate.release()
        await bus.wait_settled()
        assert sorted(await names(bus))[1::2] == ["account-a 2 Deposited", "account-b 2 Deposited"]
        assert bus.statistics().commands_in_flight == 0


async def test_the_bus_rests_only_when_both_turns_do() -> None:
    store, gates = two_at_a_time(), (Gate(), Gate())
    async with Bus(BANK, event_store=store, limits=ONE) as bus, anyio.create_task_group() as tasks:
        await warm(bus, "a", "b")
        store.script.extend([gate.before for gate in gates])
        for account in "ab":
            await begin(tasks, bus, Deposit(account, 1))
        await anyio.wait_all_tasks_blocked()
        for gate in gates:
            with anyio.move_on_after(1) as waited:
                await bus.wait_settled()
            assert waited.cancelled_caught
            gate.release()
        await bus.wait_settled()
        assert bus.statistics().position == 4


async def test_telemetry_is_told_of_each_of_two_batches_what_it_recorded() -> None:
    store, gate, telemetry = two_at_a_time(), Gate(), RecordingTelemetry()
    async with (
        Bus(BANK, event_store=store, limits=ONE, telemetry=telemetry) as bus,
        anyio.create_task_group() as tasks,
    ):
        await warm(bus, "a", "b")
        telemetry.commits.clear()
        store.script.append(gate.before)
        first = await begin(tasks, bus, Deposit("a", 1))
        await gate.reached.wait()
        for _ in range(2):
            await bus.send(Deposit("b", 1))
        gate.release()
        await first.receipt()
        assert telemetry.commits == [(1, 1)] * 3
        assert bus.statistics().events == 5


async def test_a_turn_that_ends_gives_back_nobody_whom_it_had_no_room_for() -> None:
    store, gates = two_at_a_time(), (Gate(), Gate())
    limits = Limits(turn_actors_min=1, batch_commands_max=1)
    async with Bus(BANK, event_store=store, limits=limits) as bus, anyio.create_task_group() as tasks:
        await warm(bus, "a", "b", "c", "d")
        store.script.extend([gate.before for gate in gates])
        # Of a share of two the first turn has room for one, and the second turn takes the other.
        tasks.start_soon(bus.send_many, [Deposit(account, 1) for account in "abcd"])
        await gates[1].reached.wait()
        assert [entry.stream for batch in store.batches[-2:] for entry in batch] == ["account-a", "account-b"]
        behind = await begin(tasks, bus, Deposit("b", 2))
        gates[0].release()
        await anyio.wait_all_tasks_blocked()
        assert not behind.is_done, "its aggregate is in the turn that goes on"
        gates[1].release()
        assert (await behind.receipt()).version == 3
        assert bus.statistics().restarts == 0
