"""What a telemetry hears of commands: each once, whichever way it was answered."""

import anyio

from bus import Bus
from bus.core.reports import Turned
from bus.runtime.telemetry import NoTelemetry
from bus.write.observing import Observing, observing
from tests.support.bank import BANK, Deposit, Misbehave, Open, Touch, Withdraw
from tests.support.ledger import Deposit as OtherDeposit
from tests.support.sending import begin
from tests.support.stores import FakeEventStore, Gate, lost_before, unavailable
from tests.support.telemetry import RecordingTelemetry


class StandingClock:
    def monotonic(self) -> float:
        return 1.0

    def now(self) -> None:
        raise AssertionError("nobody asks for the time of day")


def test_the_default_is_not_told_at_all() -> None:
    assert observing(NoTelemetry(), StandingClock()) is None  # type: ignore[arg-type]
    assert isinstance(observing(RecordingTelemetry(), StandingClock()), Observing)  # type: ignore[arg-type]


async def test_every_command_is_told_of_once_whichever_way_it_is_answered() -> None:
    telemetry = RecordingTelemetry()
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, telemetry=telemetry) as bus:
        await bus.send_many([Open("a"), Deposit("a", 1), Withdraw("a", 9), Touch("a"), Touch("b")])
        await bus.send_many([Misbehave("a", "raise")])
        await bus.send(Deposit("a", 1), command_id="x")
        await bus.send(Deposit("a", 1), command_id="x")
        await bus.send_many([Deposit("a", 2)], command_ids=["x"])
        store.script.append(unavailable)
        await bus.send_many([Deposit("a", 1)])
        await bus.send_many([OtherDeposit("a")])
    assert sorted(telemetry.outcomes) == sorted(
        [
            ("Open", "ok"),
            ("Deposit", "ok"),
            ("Withdraw", "rejected.overdrawn"),
            ("Touch", "ok"),
            ("Touch", "ok"),
            ("Misbehave", "command-failed"),
            *[("Deposit", "ok")] * 2,
            ("Deposit", "command-id-reused"),
            ("Deposit", "store-unavailable"),
            ("Deposit", "unknown-command"),
        ]
    )


async def test_a_named_command_is_told_of_once_in_a_batch_with_others() -> None:
    telemetry = RecordingTelemetry()
    async with Bus(BANK, telemetry=telemetry) as bus:
        await bus.send_many([Open("a"), Open("b")], command_ids=["one", "two"])
        await bus.send_many([Deposit("a", 1), Deposit("b", 1), Touch("b")])
    assert telemetry.outcomes.count(("Open", "ok")) == 2
    assert telemetry.outcomes.count(("Deposit", "ok")) == 2


async def test_who_joins_and_who_gives_up_is_told_of() -> None:
    telemetry = RecordingTelemetry()
    store, gate = FakeEventStore(), Gate()
    async with Bus(BANK, event_store=store, telemetry=telemetry) as bus, anyio.create_task_group() as tasks:
        store.script.append(gate.before)
        await begin(tasks, bus, Open("a"), command_id="x")
        await gate.reached.wait()
        await begin(tasks, bus, Open("a"), command_id="x")
        left = await begin(tasks, bus, Deposit("a", 1))
        left.cancel()
        gate.release()
    assert sorted(telemetry.outcomes) == [("Deposit", "dropped"), ("Open", "ok"), ("Open", "ok")]


async def test_an_attempt_that_must_be_made_again_is_told_of_with_its_batch() -> None:
    turns: list[tuple[int, int, list[int]]] = []

    class Listening(RecordingTelemetry):
        def turned(self, turn: Turned) -> None:
            super().turned(turn)
            turns.append((turn.batch, len(turn.decided), [one.attempts for one in turn.again]))

    store = FakeEventStore(shared=True)
    async with Bus(BANK, event_store=store, telemetry=Listening()) as bus:
        await bus.send(Open("a"))
        await store.foreign("account-a", ("deposited", b'{"amount":1}'))
        await bus.send(Deposit("a", 1))
    assert turns == [(1, 1, []), (2, 0, [1]), (3, 1, [])]


async def test_recoveries_and_failures_of_the_store_are_told_of() -> None:
    telemetry = RecordingTelemetry()
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, telemetry=telemetry) as bus:
        store.script.append(lost_before)
        await bus.send(Open("a"))
        await bus.send(Deposit("a", 1))
    async with Bus(BANK, event_store=store, telemetry=telemetry) as bus:
        await bus.send(Deposit("a", 1))
        store.read_fault = OSError("gone")
        await bus.send_many([Open("b")])
    assert [(one.category, one.events, one.error and one.error.code) for one in telemetry.recoveries] == [
        ("account", 0, None),
        ("account", 2, None),
        ("account", 0, "store-unavailable"),
    ]
    assert telemetry.failures == [("append", "memory:")]
    assert telemetry.outcomes[-1] == ("Open", "store-unavailable")
