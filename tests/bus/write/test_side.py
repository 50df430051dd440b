"""The write side: turns, fairness between mailboxes, recovery beside the work of others, and crashes of its own."""

import anyio
import pytest

from bus import Bus, BusError, CommandFailed, Limits, OutcomeUnknown, Overloaded, Receipt, StoreUnavailable
from bus.core.stored import Appended
from tests.support.bank import BANK, Deposit, Misbehave, Open, Overdrawn, Touch, Withdraw
from tests.support.sending import Sent, begin, names, receipt
from tests.support.stores import FakeEventStore, Gate, Record, unavailable
from tests.support.telemetry import RecordingTelemetry


async def test_commands_of_one_aggregate_are_decided_in_the_order_sent() -> None:
    async with Bus(BANK) as bus:
        await bus.send(Open("a"))
        outcomes = await bus.send_many([Deposit("a", amount) for amount in range(200)])
        assert [receipt(one).version for one in outcomes] == list(range(2, 202))
        recorded = [one.event.amount async for one in bus.events() if one.version > 1]  # type: ignore[attr-defined]
        assert recorded == list(range(200))


async def test_what_is_ready_together_is_committed_together() -> None:
    async with Bus(BANK) as bus:
        await bus.send_many([Touch(f"a{number}") for number in range(100)])
        before = bus.statistics()
        await bus.send_many([Open(f"a{number}") for number in range(100)])
        after = bus.statistics()
        assert (after.batches - before.batches, after.commands - before.commands) == (1, 100)


async def test_a_batch_takes_no_more_commands_than_allowed() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, limits=Limits(batch_commands_max=10)) as bus:
        await bus.send_many([Open(f"a{number}") for number in range(95)] + [Deposit("a0", 1) for _ in range(30)])
        assert max(len(batch) for batch in store.batches) == 10
        assert bus.statistics().events == 125


@pytest.mark.parametrize("accounts", [1, 10])
async def test_a_batch_ends_at_its_bytes_within_a_mailbox_and_between_them(accounts: int) -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, limits=Limits(batch_bytes_max=1_000)) as bus:
        await bus.send_many([Touch(f"a{number}") for number in range(accounts)])
        commands = [Misbehave(f"a{number % accounts}", "x" * 400) for number in range(20)]
        outcomes = await bus.send_many(commands)
        assert all(isinstance(one, Receipt) for one in outcomes)
        assert [len(batch) for batch in store.batches] == [3, 3, 3, 3, 3, 3, 2]


async def test_a_mailbox_that_never_empties_keeps_nobody_from_their_turn() -> None:
    store = FakeEventStore()
    limits = Limits(batch_commands_max=4)
    async with Bus(BANK, event_store=store, limits=limits) as bus, anyio.create_task_group() as tasks:
        await bus.send_many([Open("hot"), Open("a"), Open("b")])
        before = len(store.batches)
        gate = Gate()
        store.script.append(gate.before)
        hot = [await begin(tasks, bus, Deposit("hot", 1)) for _ in range(100)]
        others = [await begin(tasks, bus, Deposit(account, 1)) for account in ("a", "b")]
        gate.release()
        for one in others:
            await one.receipt()
        streams = [{entry.stream for entry in batch} for batch in store.batches[before:]]
        assert {"account-a", "account-b"} <= set[str]().union(*streams[:3])
        for one in hot:
            await one.receipt()


async def test_cold_aggregates_are_loaded_together_while_warm_ones_work() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        await bus.send_many([Open(f"a{number}") for number in range(50)])
    store.reads = 0
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        commit_gate = Gate()
        store.script.append(commit_gate.before)
        first = await begin(tasks, bus, Deposit("a0", 1))
        await commit_gate.reached.wait()
        cold = [await begin(tasks, bus, Deposit(f"a{number}", 1)) for number in range(1, 50)]
        store.read_gate = gate = Gate()
        commit_gate.release()
        await first.receipt()
        await gate.reached.wait()
        assert (await bus.send(Deposit("a0", 1))).version == 3
        assert not any(one.is_done for one in cold)
        gate.release()
        for one in cold:
            assert (await one.receipt()).version == 2
        assert store.reads == 2


async def test_a_query_of_recovery_names_no_more_streams_than_allowed() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, limits=Limits(recover_streams_max=10)) as bus:
        await bus.send_many([Open(f"a{number}") for number in range(25)])
        assert store.reads == 3


async def test_a_store_that_cannot_be_read_answers_all_who_need_it_and_nobody_else() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Open("warm"))
        for fault in (StoreUnavailable("away", store="fake:"), OSError("broken")):
            store.read_fault = fault
            outcomes = await bus.send_many([Deposit("cold", 1), Deposit("warm", 1), Open("cold"), Open("colder")])
            assert [type(one) for one in outcomes] == [StoreUnavailable, Receipt, StoreUnavailable, StoreUnavailable]
        store.read_fault = None
        started = anyio.current_time()
        assert (await bus.send(Open("cold"))).version == 1
        assert anyio.current_time() - started < 0.001, "a store that was away is no reason to wait when it is back"


async def test_an_aggregate_that_cannot_be_recovered_answers_its_own_senders_only() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        await store.foreign("account-unknown", ("never-heard-of", b"{}"))
        await store.foreign("account-broken", ("deposited", b'{"amount": "five"}'))
        await store.foreign("account-bug", ("spoiled", b'{"how":"evolve-raises"}'))
        await store.foreign("account-none", ("spoiled", b'{"how":"evolve-none"}'))
        await store.foreign("account-fine", ("opened", b"{}"))
        streams = ("unknown", "broken", "bug", "none", "fine", "new")
        for _ in range(3):
            outcomes = await bus.send_many([Deposit(one, 1) for one in streams[:-1]] + [Touch("new")])
            codes = [one.code if isinstance(one, BusError) else "" for one in outcomes]
            assert codes == ["unreadable", "unreadable", "command-failed", "command-failed", "", ""]
        failed = outcomes[2]
        assert isinstance(failed, CommandFailed)
        assert isinstance(failed.__cause__, ZeroDivisionError)
        assert failed.stream == "account-bug"


async def test_an_aggregate_that_fails_again_and_again_waits_alone() -> None:
    store = FakeEventStore()
    limits = Limits(restart_backoff_s=10, restart_backoff_max_s=100)
    async with Bus(BANK, event_store=store, limits=limits) as bus, anyio.create_task_group() as tasks:
        await store.foreign("account-bug", ("spoiled", b'{"how":"evolve-raises"}'))
        for _ in range(2):
            with pytest.raises(CommandFailed):
                await bus.send(Deposit("bug", 1))
        started = anyio.current_time()
        waiting = await begin(tasks, bus, Deposit("bug", 1))
        outcomes = await bus.send_many([Deposit("bug", 1), Open("a")], timeout=5)
        assert [type(one).__name__ for one in outcomes] == ["DeadlineExceeded", "Receipt"]
        assert (await bus.send(Open("b"))).version == 1
        assert isinstance(await waiting.outcome(), CommandFailed)
        assert anyio.current_time() - started == pytest.approx(10, abs=0.01)


async def test_an_aggregate_given_up_and_passivated_during_a_commit_disturbs_nobody() -> None:
    store = FakeEventStore()
    limits = Limits(residents_max=1)
    async with Bus(BANK, event_store=store, limits=limits) as bus, anyio.create_task_group() as tasks:
        await bus.send(Open("a"))
        gate, first_gate, read_gate = Gate(), Gate(), Gate()
        store.script.extend([first_gate.before, gate.unavailable])
        opening = await begin(tasks, bus, Deposit("a", 1))
        await first_gate.reached.wait()
        store.read_gate = read_gate
        store.read_fault = OSError("broken")
        # Both take part in the next turn: "a" is committed while "cold" fails to recover and is passivated.
        sent = [await begin(tasks, bus, one) for one in (Deposit("a", 1), Withdraw("a", 3), Touch("cold"))]
        first_gate.release()
        await opening.receipt()
        await gate.reached.wait()
        read_gate.release()
        assert isinstance(await sent[2].outcome(), StoreUnavailable)
        store.read_fault = store.read_gate = None
        gate.release()
        assert isinstance(await sent[0].outcome(), StoreUnavailable)
        assert isinstance(await sent[1].outcome(), StoreUnavailable | Overdrawn)
        assert bus.statistics().restarts == 0
        assert (await bus.send(Deposit("a", 1))).version == 3


async def test_more_commands_than_the_bus_may_hold_are_refused_at_once() -> None:
    store = FakeEventStore()
    limits = Limits(bus_commands_max=3)
    async with Bus(BANK, event_store=store, limits=limits) as bus, anyio.create_task_group() as tasks:
        store.read_gate = gate = Gate()
        sent = [await begin(tasks, bus, Open(f"a{number}")) for number in range(3)]
        with pytest.raises(Overloaded, match=r"raise Limits\.bus_commands_max"):
            await bus.send(Open("b"))
        assert bus.statistics().commands_in_flight == 3
        gate.release()
        for one in sent:
            await one.receipt()
        store.read_gate = None
        assert (await bus.send(Open("b"))).version == 1


async def test_a_crash_of_a_turn_leaves_nobody_without_an_answer_and_is_restarted() -> None:
    store = FakeEventStore()

    async def nonsense(record: Record) -> Appended:
        await record()
        return Appended(0, {0: object()})  # type: ignore[dict-item]

    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        await bus.send(Touch("a"))
        await bus.send(Touch("b"))
        store.script.append(nonsense)
        outcomes = await bus.send_many([Open("a"), Open("a"), Open("b")])
        assert isinstance(outcomes[0], OutcomeUnknown)
        assert bus.statistics().restarts == 1
        later = [await begin(tasks, bus, Deposit("a", 1)), await begin(tasks, bus, Deposit("b", 1))]
        assert [(await one.receipt()).version for one in later] == [2, 2], "what was recorded was read anew"
        assert await names(bus) == [
            "account-a 1 Opened",
            "account-b 1 Opened",
            "account-a 2 Deposited",
            "account-b 2 Deposited",
        ]


async def test_mail_that_came_during_a_turn_that_crashed_is_decided() -> None:
    store = FakeEventStore()
    gate = Gate()

    async def nonsense(record: Record) -> Appended:
        await gate.passed()
        return Appended(0, {0: object()})  # type: ignore[dict-item]

    limits = Limits(batch_commands_max=2)
    async with Bus(BANK, event_store=store, limits=limits) as bus, anyio.create_task_group() as tasks:
        await bus.send_many([Touch("a"), Touch("b")])
        store.script.append(nonsense)
        first: list[Sent] = [await begin(tasks, bus, Open("a"))]
        await gate.reached.wait()
        later = [await begin(tasks, bus, one) for one in (Open("a"), Open("b"), Deposit("a", 1), Deposit("c", 1))]
        gate.release()
        assert isinstance(await first[0].outcome(), OutcomeUnknown)
        assert [type(await one.outcome()).__name__ for one in later] == ["Receipt", "Receipt", "Receipt", "NotOpen"]


async def test_telemetry_is_told_of_each_batch_what_it_recorded() -> None:
    telemetry = RecordingTelemetry()
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, telemetry=telemetry) as bus:
        await bus.send_many([Touch("a"), Touch("b")])
        assert telemetry.commits == [], "nothing was committed"
        await bus.send_many([Open("a"), Misbehave("a", "amounts", [1, 2, 3]), Open("b"), Open("b")])
        assert telemetry.commits == [(3, 5)]
        store.script.append(unavailable)
        await bus.send_many([Deposit("a", 1)])
        assert telemetry.commits == [(3, 5)], "a batch that failed is no batch"


@pytest.mark.parametrize("limits", [Limits(batch_commands_max=1), Limits(batch_bytes_max=1)], ids=["full", "large"])
async def test_what_a_turn_that_crashed_had_left_is_decided_by_the_next_one(limits: Limits) -> None:
    store = FakeEventStore()

    async def nonsense(record: Record) -> Appended:
        return Appended(0, {0: object()})  # type: ignore[dict-item]

    async with Bus(BANK, event_store=store, limits=limits) as bus:
        await bus.send_many([Touch("a"), Touch("b")])
        store.script.append(nonsense)
        outcomes = await bus.send_many([Open("a"), Open("a"), Open("b")])
        assert [type(one) for one in outcomes] == [OutcomeUnknown, Receipt, Receipt]
        assert bus.statistics().restarts == 1
