"""Metrics count exactly what happened, whichever way, and ids are none of their labels."""

import anyio
import pytest

from bus import Bus, MemoryEventStore, QueryFailed
from bus.core.statistics import Statistics
from tests.adapters.otel.recording import Recording
from tests.support.asking import Ask, asking
from tests.support.bank import BANK, Deposit, Misbehave, Open, Touch, Withdraw
from tests.support.ledger import LEDGER, GetBalance
from tests.support.ledger import Deposit as LedgerDeposit
from tests.support.sending import begin
from tests.support.stores import FakeEventStore, Gate, lost_before


async def test_commands_are_counted_by_type_and_outcome_and_errors_by_code() -> None:
    recording = Recording()
    async with Bus(BANK, telemetry=recording.telemetry) as bus:
        await bus.send_many([Open(str(number)) for number in range(500)])
        await bus.send_many([Open("1"), Deposit("1", 5), Withdraw("1", 9), Touch("1"), Misbehave("1", "raise")])
        await bus.send(Deposit("1", 1), command_id="x")
        await bus.send(Deposit("1", 1), command_id="x")
        await bus.send_many([LedgerDeposit("a")])
    assert recording.values("doubledecker.commands") == {
        ("Open", "ok"): 500,
        ("Open", "rejected"): 1,
        ("Deposit", "ok"): 2,
        ("Withdraw", "rejected"): 1,
        ("Touch", "ok"): 1,
        ("Misbehave", "error"): 1,
        ("Deposit", "duplicate"): 1,
        ("Deposit", "error"): 1,
    }
    assert recording.values("doubledecker.errors") == {
        ("command", "command-failed"): 1,
        ("command", "unknown-command"): 1,
    }


async def test_durations_are_recorded_of_all_while_there_are_few() -> None:
    recording = Recording()
    async with Bus(BANK, telemetry=recording.telemetry) as bus:
        await bus.send_many([Open("a"), Open("b"), Open("a")])
    durations = {
        tuple(dict(one.attributes).values()): one for one in recording.metrics()["doubledecker.command.duration"]
    }
    assert {labels: point.count for labels, point in durations.items()} == {("Open", "ok"): 2, ("Open", "rejected"): 1}
    assert all(0 < point.sum < 10 for point in durations.values())
    assert recording.values("doubledecker.mailbox.wait") == {(): 3}
    assert recording.values("doubledecker.batch.commands") == {(): 1}
    assert recording.metrics()["doubledecker.batch.commands"][0].sum == 2
    assert recording.values("doubledecker.commit.duration") == {(): 1}


async def test_gauges_are_those_of_the_open_bus() -> None:
    recording = Recording()
    store, gate = FakeEventStore(), Gate()
    async with Bus(LEDGER, event_store=store, telemetry=recording.telemetry) as bus, anyio.create_task_group() as tasks:
        await bus.wait_projected(await bus.send(LedgerDeposit("a")))
        store.script.append(gate.before)
        await begin(tasks, bus, LedgerDeposit("a"))
        await gate.reached.wait()
        await begin(tasks, bus, LedgerDeposit("a"))
        assert recording.values("doubledecker.mailbox.depth") == {(): 2}
        assert recording.values("doubledecker.mailboxes") == {(): 1}
        assert recording.values("doubledecker.actors.resident") == {(): 1}
        assert recording.values("doubledecker.projection.stopped") == {("balances",): 0, ("journal",): 0, ("notes",): 0}
        assert recording.values("doubledecker.projection.lag.events")["balances",] == 0
        assert recording.values("doubledecker.dead_letters") == {(): 0}
        gate.release()
    assert recording.values("doubledecker.mailbox.depth") == {}, "there is no bus"


async def test_counters_go_on_when_a_bus_is_opened_again() -> None:
    recording = Recording()
    store = MemoryEventStore()
    for _ in range(2):
        async with Bus(LEDGER, event_store=store, telemetry=recording.telemetry) as bus:
            await bus.wait_projected(await bus.send(LedgerDeposit("a")))
    assert recording.values("doubledecker.actors.activations") == {(): 2}
    assert recording.values("doubledecker.recovery.events") == {("account",): 2}
    assert recording.values("doubledecker.projection.events")["journal",] >= 2


async def test_conflicts_and_retries_are_counted() -> None:
    recording = Recording()
    store = FakeEventStore(shared=True)
    async with Bus(BANK, event_store=store, telemetry=recording.telemetry) as bus:
        await bus.send(Open("a"))
        await store.foreign("account-a", ("deposited", b'{"amount":1}'))
        await bus.send(Deposit("a", 1))
        store.script.append(lost_before)
        await bus.send(Deposit("a", 1))
    assert recording.values("doubledecker.conflicts") == {("Deposit",): 1}
    assert recording.values("doubledecker.retries") == {("append",): 1}


async def test_queries_are_counted_by_outcome() -> None:
    recording = Recording()
    async with Bus(LEDGER, telemetry=recording.telemetry) as bus:
        await bus.query(GetBalance("a"))
    asked, _ = asking(lambda query, views: eval(query.text))
    async with Bus(asked, telemetry=recording.telemetry) as bus:
        with pytest.raises(QueryFailed):
            await bus.query(Ask("1 // 0"))
        with anyio.move_on_after(0.01):
            await bus.query(Ask("anyio.sleep_forever()"))
    assert recording.values("doubledecker.queries") == {
        ("GetBalance", "ok"): 1,
        ("Ask", "error"): 1,
        ("Ask", "cancelled"): 1,
    }
    assert recording.values("doubledecker.errors") == {("query", "query-failed"): 1}
    assert recording.values("doubledecker.query.duration") == recording.values("doubledecker.queries")


async def test_a_bus_that_changes_while_it_is_looked_at_is_told_as_last_seen() -> None:
    recording = Recording()
    async with Bus(BANK, telemetry=recording.telemetry) as bus:
        await bus.send(Open("a"))
        assert recording.values("doubledecker.actors.resident") == {(): 1}

        def changing() -> Statistics:
            raise RuntimeError("Set changed size during iteration")

        recording.telemetry._meters.opened(changing)
        assert recording.values("doubledecker.actors.resident") == {(): 1}
