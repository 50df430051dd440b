"""The same command id again: the first receipt, nothing recorded; another command under it is refused."""

import anyio
import pytest

from bus import Bus, BusError, Command, CommandIdReused, Limits, MemoryEventStore, Receipt, VersionConflict
from tests.support.bank import BANK, AlreadyOpen, Deposit, Misbehave, Open, Overdrawn, Touch, Withdraw
from tests.support.sending import begin, names, receipt
from tests.support.stores import FakeEventStore, Gate


async def test_a_command_sent_again_gets_the_first_receipt() -> None:
    async with Bus(BANK) as bus:
        await bus.send(Open("a"))
        first = await bus.send(Deposit("a", 5), command_id="the-id")
        await bus.send(Deposit("a", 6))
        again = await bus.send(Deposit("a", 5), command_id="the-id")
        assert again.duplicate
        assert again == Receipt("the-id", "account-a", 2, 2, first.events, True)
        assert await names(bus) == ["account-a 1 Opened", "account-a 2 Deposited", "account-a 3 Deposited"]


async def test_a_command_sent_again_while_in_flight_is_joined() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        store.script.append(gate.before)
        sent = [await begin(tasks, bus, Open("a"), command_id="the-id")]
        await gate.reached.wait()
        sent += [await begin(tasks, bus, Open("a"), command_id="the-id") for _ in range(3)]
        gate.release()
        receipts = [await one.receipt() for one in sent]
        assert [one.duplicate for one in receipts] == [False, True, True, True]
        assert {(one.version, one.position) for one in receipts} == {(1, 1)}
        assert len(store.batches) == 1
        assert bus.statistics().commands_in_flight == 0


async def test_twins_of_one_send_many_are_joined() -> None:
    async with Bus(BANK) as bus:
        outcomes = await bus.send_many([Open("a"), Open("a"), Open("a")], command_ids=["1", "1", "2"])
        assert [receipt(one).duplicate for one in outcomes[:2]] == [False, True]
        assert isinstance(outcomes[2], AlreadyOpen)


async def test_twins_share_a_refusal_but_not_its_traceback() -> None:
    async with Bus(BANK) as bus:
        outcomes = await bus.send_many([Withdraw("a", 1)] * 3, command_ids=["1"] * 3)
        assert all(isinstance(one, Overdrawn) for one in outcomes)
        assert {str(one) for one in outcomes} == {"not enough money"}
        assert [one.facts for one in outcomes if isinstance(one, BusError)] == [{"balance": 0}] * 3
        assert len({id(one) for one in outcomes}) == 3


async def test_a_first_sender_that_is_cancelled_leaves_the_receipt_to_its_twin() -> None:
    store = FakeEventStore()
    limits = Limits(residents_max=1, idle_timeout_s=1)
    async with Bus(BANK, event_store=store, limits=limits) as bus, anyio.create_task_group() as tasks:
        gate, second_gate = Gate(), Gate()
        store.script.extend([gate.before, second_gate.before])
        other = await begin(tasks, bus, Open("other"))
        await gate.reached.wait()
        first = await begin(tasks, bus, Open("a"), command_id="the-id")
        first.cancel()
        twin = await begin(tasks, bus, Open("a"), command_id="the-id")
        # Idle times pass and residents are far above their cap: what is in flight stays all the same.
        await anyio.sleep(10)
        gate.release()
        await other.receipt()
        await second_gate.reached.wait()
        await anyio.sleep(10)
        second_gate.release()
        assert (await twin.receipt()).version == 1
        assert await names(bus) == ["account-other 1 Opened", "account-a 1 Opened"]
        again = await bus.send(Open("a"), command_id="the-id")
        assert again.duplicate


async def test_a_cancelled_twin_leaves_the_receipt_to_the_first_sender() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        store.script.append(gate.before)
        first = await begin(tasks, bus, Open("a"), command_id="the-id")
        await gate.reached.wait()
        twin = await begin(tasks, bus, Open("a"), command_id="the-id")
        twin.cancel()
        await anyio.wait_all_tasks_blocked()
        gate.release()
        assert (await first.receipt()).duplicate is False
        assert bus.statistics().commands_in_flight == 0


async def test_an_id_is_known_after_a_restart() -> None:
    store = MemoryEventStore()
    async with Bus(BANK, event_store=store) as bus:
        first = await bus.send(Open("a"), command_id="the-id")
        made = await bus.send(Deposit("a", 5))
    async with Bus(BANK, event_store=store) as bus:
        again = await bus.send(Open("a"), command_id="the-id")
        assert (again.version, again.position, again.duplicate) == (first.version, first.position, True)
        # An id that the bus made is one like any other.
        again = await bus.send(Deposit("a", 5), command_id=made.command_id)
        assert (again.version, again.position, again.duplicate) == (2, 2, True)
        assert (await bus.load(BANK.deciders[0], "a")).state.balance == 5


async def test_an_id_is_known_after_passivation() -> None:
    async with Bus(BANK, limits=Limits(idle_timeout_s=1)) as bus:
        await bus.send(Open("a"), command_id="the-id")
        await anyio.sleep(5)
        assert bus.statistics().residents == 0
        assert (await bus.send(Open("a"), command_id="the-id")).duplicate


@pytest.mark.parametrize("how", ["raise", "none", "evolve-raises"])
async def test_a_repeated_command_gets_its_receipt_even_where_deciding_it_again_fails(how: str) -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        await store.foreign("account-a", ("opened", b"{}"), command_id="the-id")
        command = Misbehave("a", how)
        with pytest.raises(CommandIdReused):
            await bus.send(command, command_id="the-id")
        assert isinstance(await bus.send(Deposit("a", 1)), Receipt)


async def test_a_repeated_command_whose_own_events_make_it_a_rejection_gets_its_receipt() -> None:
    async with Bus(BANK) as bus:
        await bus.send(Open("a"))
        await bus.send(Deposit("a", 5))
        assert (await bus.send(Withdraw("a", 5), command_id="the-id")).duplicate is False
        again = await bus.send(Withdraw("a", 5), command_id="the-id")
        assert (again.version, again.duplicate) == (3, True)


async def test_commands_behind_a_repeated_one_are_decided_on_what_is_recorded() -> None:
    async with Bus(BANK) as bus:
        await bus.send(Open("a"))
        await bus.send(Deposit("a", 5), command_id="the-id")
        outcomes = await bus.send_many(
            [Deposit("a", 5), Withdraw("a", 10), Withdraw("a", 5), Touch("a")], command_ids=["the-id", "2", "3", "4"]
        )
        assert receipt(outcomes[0]).duplicate
        assert isinstance(outcomes[1], Overdrawn), "it was first decided on a deposit that never was"
        assert receipt(outcomes[2]).version == 3
        assert receipt(outcomes[3]).version == 3


@pytest.mark.parametrize(
    "other",
    [Open("b"), Deposit("a", 5), Deposit("a", 6), Touch("a"), Withdraw("a", 1_000)],
    ids=["other aggregate", "other type", "other value", "no-op", "rejection"],
)
@pytest.mark.parametrize("made_by_bus", [False, True], ids=["named", "made by the bus"])
async def test_the_id_of_another_command_is_refused(other: Command, made_by_bus: bool) -> None:
    async with Bus(BANK) as bus:
        await bus.send(Open("a"))
        first = await bus.send(Deposit("a", 1), command_id=None if made_by_bus else "the-id")
        with pytest.raises(CommandIdReused, match="belongs to another command") as caught:
            await bus.send(other, command_id=first.command_id)
        assert caught.value.command_id == first.command_id
        assert caught.value.stream == "account-a"
        assert await names(bus) == ["account-a 1 Opened", "account-a 2 Deposited"]
        assert (await bus.send(Deposit("a", 2))).version == 3


async def test_the_id_of_another_command_in_flight_is_refused_at_once() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        store.script.append(gate.before)
        first = await begin(tasks, bus, Open("a"), command_id="the-id")
        await gate.reached.wait()
        with pytest.raises(CommandIdReused):
            await bus.send(Open("b"), command_id="the-id")
        with pytest.raises(CommandIdReused):
            await bus.send(Touch("a"), command_id="the-id")
        gate.release()
        assert (await first.receipt()).version == 1
        assert bus.statistics().residents == 1, "a refused command makes no resident"


async def test_a_rejected_command_leaves_no_proof_and_is_decided_again() -> None:
    async with Bus(BANK) as bus:
        with pytest.raises(Overdrawn):
            await bus.send(Withdraw("a", 5), command_id="the-id")
        await bus.send(Open("a"))
        await bus.send(Deposit("a", 5))
        assert (await bus.send(Withdraw("a", 5), command_id="the-id")).duplicate is False


async def test_the_id_of_a_rejected_command_is_free_for_another() -> None:
    async with Bus(BANK) as bus:
        with pytest.raises(Overdrawn):
            await bus.send(Withdraw("a", 5), command_id="the-id")
        assert (await bus.send(Open("b"), command_id="the-id")).version == 1


@pytest.mark.parametrize("command_id", [None, "the-id"], ids=["unnamed", "named"])
async def test_the_receipt_of_no_events_carries_the_latest_position(command_id: str | None) -> None:
    store = MemoryEventStore()
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Open("a"))
        await bus.send(Open("b"))
        taken = await bus.send(Touch("a"), command_id=command_id)
        assert (taken.version, taken.position, taken.events, taken.duplicate) == (1, 2, (), False)
    async with Bus(BANK, event_store=store) as bus:
        taken = await bus.send(Touch("c"), command_id=command_id)
        assert (taken.version, taken.position) == (0, 2)


async def test_a_repeated_command_is_a_repetition_whatever_version_it_expects_now() -> None:
    async with Bus(BANK) as bus:
        await bus.send(Open("a"), command_id="the-id", expected_version=0)
        assert (await bus.send(Open("a"), command_id="the-id", expected_version=0)).duplicate
        with pytest.raises(VersionConflict) as caught:
            await bus.send(Open("a"), command_id="other-id", expected_version=0)
        assert (caught.value.expected, caught.value.actual) == (0, 1)


async def test_a_repeated_command_may_have_recorded_several_events() -> None:
    async with Bus(BANK) as bus:
        await bus.send(Open("a"))
        first = await bus.send(Misbehave("a", "amounts", [1, 2, 3]), command_id="the-id")
        assert (first.version, first.position, len(first.events)) == (4, 4, 3)
        again = await bus.send(Misbehave("a", "amounts", [1, 2, 3]), command_id="the-id")
        assert (again.version, again.position, again.events, again.duplicate) == (4, 4, first.events, True)


async def test_unnamed_commands_behind_a_repeated_one_are_decided_on_what_is_recorded() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        await bus.send(Open("a"))
        await bus.send(Deposit("a", 5), command_id="the-id")
        gate = Gate()
        store.script.append(gate.before)
        await begin(tasks, bus, Open("b"))
        await gate.reached.wait()
        repeated = await begin(tasks, bus, Deposit("a", 5), command_id="the-id")
        behind = [await begin(tasks, bus, one) for one in (Withdraw("a", 11), Withdraw("a", 10), Touch("a"))]
        gate.release()
        assert (await repeated.receipt()).duplicate
        assert isinstance(await behind[0].outcome(), Overdrawn)
        assert isinstance(await behind[1].outcome(), Overdrawn), "it was first decided on a deposit that never was"
        assert (await behind[2].receipt()).version == 2
