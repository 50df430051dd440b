"""The bus's own calls: sending one and many, loading, reading events, and what goes with a command."""

import contextvars
from typing import Any

import anyio
import pytest

from bus import (
    Application,
    Bus,
    BusClosed,
    Command,
    CommandFailed,
    CommandIdReused,
    DefinitionError,
    Limits,
    MemoryEventStore,
    NotSettled,
    Overloaded,
    Receipt,
    UnknownCommand,
    Unreadable,
    VersionConflict,
)
from tests.support.bank import (
    ACCOUNT,
    BANK,
    Account,
    Deposit,
    Misbehave,
    NotOpen,
    Open,
    Opened,
    Overdrawn,
    Touch,
    Withdraw,
)
from tests.support.sending import begin, names, receipt, recorded
from tests.support.stores import FakeEventStore, Gate
from tests.support.telemetry import TRACEPARENT, RecordingTelemetry


class Unheard(Command):
    account_id: str


async def test_a_receipt_says_what_was_recorded_and_where() -> None:
    async with Bus(BANK) as bus:
        first = await bus.send(Open("a"), command_id="the-id")
        assert first == Receipt("the-id", "account-a", 1, 1, (Opened(),), False, None)
        second = await bus.send(Misbehave("a", "amounts", [1, 2, 3]))
        assert (second.version, second.position, len(second.events)) == (4, 4, 3)
        assert [one.command_id for one in await recorded(bus)] == ["the-id"] + [second.command_id] * 3


async def test_ids_made_by_the_bus_grow() -> None:
    async with Bus(BANK) as bus:
        ids = [receipt(one).command_id for one in await bus.send_many([Open(str(number)) for number in range(100)])]
        assert ids == sorted(set(ids))


async def test_a_command_that_nobody_takes_is_refused() -> None:
    async with Bus(BANK) as bus:
        with pytest.raises(
            UnknownCommand, match="cannot send Unheard: no decider of the application takes it"
        ) as caught:
            await bus.send(Unheard("a"))
        assert caught.value.command == "Unheard"
        nonsense: Any = "open"
        with pytest.raises(UnknownCommand, match="cannot send str: it is no Command"):
            await bus.send(nonsense)
        with pytest.raises(UnknownCommand):
            await Bus.send(bus, Account())  # type: ignore[arg-type]
        with pytest.raises(UnknownCommand, match=r"cannot send Open: it is a class; send an instance, Open\(...\)"):
            await bus.send(Open)  # type: ignore[arg-type]


async def test_a_bus_that_is_not_open_refuses_everything() -> None:
    bus = Bus(BANK)
    for _ in range(2):
        with pytest.raises(BusClosed, match="Use it inside `async with Bus"):
            await bus.send(Open("a"))
        with pytest.raises(BusClosed):
            await bus.send_many([Open("a")])
        with pytest.raises(BusClosed):
            await bus.load(ACCOUNT, "a")
        with pytest.raises(BusClosed):
            await bus.wait_settled()
        with pytest.raises(BusClosed):
            await bus.wait_projected(1)
        with pytest.raises(BusClosed):
            bus.statistics()
        with pytest.raises(BusClosed):
            await anext(bus.events())
        async with bus:
            await bus.send(Touch("a"))


async def test_a_bus_is_opened_once_at_a_time() -> None:
    bus = Bus(BANK)
    async with bus:
        with pytest.raises(DefinitionError, match="this bus is open already; open another one"):
            await bus.__aenter__()
        assert (await bus.send(Open("a"))).version == 1
    async with bus:
        assert await names(bus) == ["account-a 1 Opened"]


async def test_two_tasks_that_open_one_bus_at_once_get_one_open_bus_and_one_error() -> None:
    class Slow(MemoryEventStore):
        async def head(self) -> int:
            await anyio.sleep(1)
            return await super().head()

    bus = Bus(BANK, event_store=Slow())
    outcomes: list[object] = []

    async def use() -> None:
        try:
            async with bus:
                await anyio.sleep(5)
                outcomes.append(await bus.send(Open("a")))
        except DefinitionError as error:
            outcomes.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use)
        tasks.start_soon(use)
    assert [type(one) for one in outcomes] == [DefinitionError, Receipt]


async def test_outcomes_come_in_the_order_given_and_a_refusal_stops_nothing() -> None:
    async with Bus(BANK) as bus:
        commands: list[Command] = [
            Open("a"),
            Unheard("a"),
            Deposit("b", 1),
            Misbehave("a", "raise"),
            Open(""),
            Deposit("a", 5),
            Withdraw("a", 6),
            Touch("a"),
            Open("a"),
        ]
        outcomes = await bus.send_many(commands, command_ids=["1", "2", "3", "4", "5", "6", "7", "8", "1"])
        assert [type(one) for one in outcomes] == [
            Receipt,
            UnknownCommand,
            NotOpen,
            CommandFailed,
            CommandFailed,
            Receipt,
            Overdrawn,
            Receipt,
            Receipt,
        ]
        assert receipt(outcomes[-1]).duplicate
        again = await bus.send_many([Open("a"), Deposit("a", 5), Deposit("a", 6)], command_ids=["1", "6", "1"])
        assert receipt(again[0]).duplicate
        assert receipt(again[1]).duplicate
        assert isinstance(again[2], CommandIdReused)


async def test_ids_must_be_as_many_as_commands() -> None:
    async with Bus(BANK) as bus:
        with pytest.raises(ValueError, match="2 commands need as many command ids, not 1"):
            await bus.send_many([Open("a"), Open("b")], command_ids=["1"])
        assert await names(bus) == []
        assert await bus.send_many([]) == []


async def test_many_commands_are_in_flight_as_many_at_a_time_as_allowed() -> None:
    store = FakeEventStore()
    limits = Limits(send_many_commands_max=7)
    async with Bus(BANK, event_store=store, limits=limits) as bus:
        await bus.send_many([Open(f"a{number}") for number in range(20)])
        outcomes = await bus.send_many(Deposit(f"a{number % 20}", number) for number in range(100))
        assert all(isinstance(one, Receipt) for one in outcomes)
        assert max(len(batch) for batch in store.batches) == 7


async def test_many_commands_wait_for_room_in_the_bus() -> None:
    async with Bus(BANK, limits=Limits(bus_commands_max=3)) as bus:
        outcomes = await bus.send_many([Open(f"a{number}") for number in range(20)] + [Touch("a0"), Unheard("a")])
        assert [type(one) for one in outcomes] == [Receipt] * 21 + [UnknownCommand]


async def test_many_commands_that_find_no_room_for_any_are_overloaded() -> None:
    store = FakeEventStore()
    async with (
        Bus(BANK, event_store=store, limits=Limits(bus_commands_max=2)) as bus,
        anyio.create_task_group() as tasks,
    ):
        store.read_gate = gate = Gate()
        sent = [await begin(tasks, bus, Open(account)) for account in "ab"]
        outcomes = await bus.send_many([Open("c"), Open("d")])
        assert [type(one) for one in outcomes] == [Overloaded, Overloaded]
        gate.release()
        for one in sent:
            await one.receipt()


async def test_an_expected_version_is_that_of_the_moment_of_the_decision() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        await bus.send(Open("a"), expected_version=0)
        gate = Gate()
        store.script.append(gate.before)
        blocking = await begin(tasks, bus, Deposit("b", 1), command_id="named")
        await gate.reached.wait()
        sent = [await begin(tasks, bus, Deposit("a", 1), expected_version=version) for version in (1, 1, 2, 9)]
        gate.release()
        await blocking.outcome()
        outcomes = [await one.outcome() for one in sent]
        assert [type(one) for one in outcomes] == [Receipt, VersionConflict, Receipt, VersionConflict]
        conflict = outcomes[3]
        assert isinstance(conflict, VersionConflict)
        assert (conflict.stream, conflict.expected, conflict.actual) == ("account-a", 9, 3)


async def test_an_aggregate_is_loaded_as_recorded() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        await bus.send_many([Open("a"), Deposit("a", 5)])
        assert (await bus.load(ACCOUNT, "a")).state == Account(True, 5)
        assert (await bus.load(ACCOUNT, "a")).version == 2
        assert (await bus.load(ACCOUNT, "unheard of")).version == 0
        assert (await bus.load(ACCOUNT, "unheard of")).state is ACCOUNT.initial
        await store.foreign("account-bug", ("spoiled", b'{"how":"evolve-raises"}'))
        await store.foreign("account-unknown", ("unknown", b"{}"))
        with pytest.raises(CommandFailed):
            await bus.load(ACCOUNT, "bug")
        with pytest.raises(Unreadable):
            await bus.load(ACCOUNT, "unknown")


async def test_events_are_read_in_order_in_pages_and_from_anywhere() -> None:
    async with Bus(BANK, limits=Limits(page_events_max=3)) as bus:
        await bus.send_many([Open("a"), Open("b"), Deposit("a", 1), Deposit("b", 1), Deposit("a", 2), Deposit("a", 3)])
        assert [one.position for one in await recorded(bus)] == [1, 2, 3, 4, 5, 6]
        assert [one.position async for one in bus.events(after=4)] == [5, 6]
        assert [one.version async for one in bus.events("account-a")] == [1, 2, 3, 4]
        assert [one.version async for one in bus.events("account-a", after=3)] == [4]
        assert [one async for one in bus.events("account-none")] == []
        with pytest.raises(ValueError, match="must not be negative"):
            await anext(bus.events(after=-1))


async def test_reading_that_outlives_the_bus_is_told_so() -> None:
    bus = Bus(BANK, limits=Limits(page_events_max=1))
    async with bus:
        await bus.send_many([Open("a"), Open("b")])
        events = bus.events()
        assert (await anext(events)).position == 1
    with pytest.raises(BusClosed, match="they go on after 1"):
        await anext(events)


async def test_an_event_that_the_application_does_not_know_is_unreadable() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Open("a"))
    async with Bus(Application(), event_store=store) as bus:
        with pytest.raises(Unreadable, match="'opened' at position 1"):
            await recorded(bus)


async def test_the_conversation_the_cause_and_the_trace_are_stored_with_the_events() -> None:
    telemetry = RecordingTelemetry()
    async with Bus(BANK, telemetry=telemetry) as bus:
        plain = await bus.send(Open("a"))
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        token = TRACEPARENT.set(trace)
        traced = await bus.send(Deposit("a", 1), correlation_id="talk")
        TRACEPARENT.reset(token)
        later = await bus.send(Deposit("a", 1), causation_id=traced.command_id)
        events = await recorded(bus)
        assert [one.traceparent for one in events] == [None, trace, None]
        assert [one.correlation_id for one in events] == [plain.command_id, "talk", later.command_id]
        assert [one.causation_id for one in events] == [None, None, traced.command_id]
        assert [one.trace_id for one in (plain, traced, later)] == [None, "0af7651916cd43dd8448eb211c80319c", None]
        again = await bus.send(Deposit("a", 1), command_id=traced.command_id)
        assert again.trace_id == traced.trace_id


async def test_many_commands_have_the_cause_that_they_are_sent_with() -> None:
    async with Bus(BANK) as bus:
        first = await bus.send(Open("a"))
        await bus.send_many([Open("b"), Open("c")], correlation_id="talk", causation_id=first.command_id)
        assert [(one.correlation_id, one.causation_id) for one in await recorded(bus)] == [
            (first.command_id, None),
            ("talk", first.command_id),
            ("talk", first.command_id),
        ]


@pytest.mark.parametrize("cause", ["", "x" * 201, "nul\0", 5])
async def test_what_is_no_id_is_no_cause(cause: Any) -> None:
    async with Bus(BANK) as bus:
        with pytest.raises(CommandFailed, match="its causation id is"):
            await bus.send(Open("a"), causation_id=cause)
        (refused,) = await bus.send_many([Open("a")], causation_id=cause)
        assert isinstance(refused, CommandFailed)
        assert await recorded(bus) == []


async def test_each_of_many_senders_has_its_own_trace() -> None:
    async with Bus(BANK, telemetry=RecordingTelemetry()) as bus:

        async def send(name: str) -> None:
            TRACEPARENT.set(f"00-{name}-b7ad6b7169203331-01")
            await bus.send(Open(name))

        async with anyio.create_task_group() as tasks:
            for name in "abcdef":
                tasks.start_soon(send, name)
        assert {one.stream_id: one.traceparent for one in await recorded(bus)} == {
            name: f"00-{name}-b7ad6b7169203331-01" for name in "abcdef"
        }


async def test_the_bus_inherits_nobodys_context() -> None:
    place: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="nowhere")
    seen: list[str] = []

    class Looking(FakeEventStore):
        async def append(self, batch: Any, recorded_at: Any) -> Any:
            seen.append(place.get())
            return await super().append(batch, recorded_at)

        async def stream_pages(self, after: Any, limit: int) -> Any:
            seen.append(place.get())
            return await super().stream_pages(after, limit)

    place.set("where the bus was opened")
    async with Bus(BANK, event_store=Looking()) as bus:
        place.set("where the first command was sent")
        await bus.send(Open("a"))
    assert set(seen) == {"nowhere"}
    assert len(seen) == 2


async def test_projections_are_waited_for_by_name_only_if_there_are_such() -> None:
    async with Bus(BANK) as bus:
        taken = await bus.send(Open("a"))
        await bus.wait_projected(taken)
        with pytest.raises(DefinitionError, match="the application has no projection board"):
            await bus.wait_projected(taken, "board")
        nonsense: Any = 5
        with pytest.raises(DefinitionError, match="the application has no projection 5"):
            await bus.wait_projected(taken, nonsense)


async def test_the_default_patience_of_waits_is_a_limit() -> None:
    store = FakeEventStore()
    limits = Limits(wait_timeout_s=7)
    async with Bus(BANK, event_store=store, limits=limits) as bus, anyio.create_task_group() as tasks:
        store.read_gate = gate = Gate()
        await begin(tasks, bus, Open("a"))
        started = anyio.current_time()
        with pytest.raises(NotSettled, match="commands in flight"):
            await bus.wait_settled()
        assert anyio.current_time() - started == pytest.approx(7, abs=0.001)
        gate.release()
