"""Intake: what is refused before it reaches a mailbox, and the count of what is in flight."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from bus import Application, Bus, BusError, Command, CommandFailed, DeadlineExceeded, Decider, Event, Limits, State
from tests.support.bank import BANK, Deposit, Misbehave, Open, Touch
from tests.support.sending import begin
from tests.support.stores import FakeEventStore, Gate


class Made:
    """Ids in a row, as told."""

    def __init__(self, *ids: str) -> None:
        self._ids = list(ids)

    def new(self) -> str:
        return self._ids.pop(0)


class Go(Command):
    where: Any


class Gone(Event, tag="gone"):
    pass


class Place(State):
    pass


def decide(command: Go, place: Place) -> Sequence[Gone]:
    return [Gone()]


def evolve(place: Place, event: Gone) -> Place:
    return place


def identify(command: Go) -> str:
    if command.where == "raise":
        raise ZeroDivisionError("a bug in identify")
    where: str = command.where
    return where


GOING = Application(
    deciders=[Decider(category="place", initial=Place(), identify=identify, decide=decide, evolve=evolve)]
)


@pytest.mark.parametrize("where", ["raise", None, 5, b"x", ["x"], ""])
async def test_an_aggregate_that_cannot_be_found_fails_the_command(where: object) -> None:
    async with Bus(GOING) as bus:
        with pytest.raises(CommandFailed, match="this is a mistake in the code that made the command") as caught:
            await bus.send(Go(where))
        assert caught.value.command == "go"
        assert caught.value.stream is None
        assert bus.statistics().residents == 0
        assert (await bus.send(Go("x"))).stream == "place-x"


async def test_what_is_refused_is_not_in_flight_and_makes_no_resident() -> None:
    nonsense: Any = object()
    async with Bus(BANK) as bus:
        outcomes = await bus.send_many(
            [Open("x" * 201), Open("a"), Misbehave("a", "x", nonsense)], command_ids=["1", "", "3"]
        )
        assert [type(one) for one in outcomes] == [CommandFailed] * 3
        assert (bus.statistics().commands_in_flight, bus.statistics().residents) == (0, 0)
        await bus.wait_settled()


async def test_a_refused_command_leaves_a_resident_that_is_in_use() -> None:
    async with Bus(BANK) as bus:
        await bus.send(Open("a"))
        with pytest.raises(CommandFailed):
            await bus.send(Touch("a"), command_id="")
        assert bus.statistics().residents == 1


async def test_ids_come_from_the_port() -> None:
    async with Bus(BANK, ids=Made("one", "two")) as bus:
        assert (await bus.send(Open("a"))).command_id == "one"
        assert (await bus.send(Touch("a"), command_id="given")).command_id == "given"
        assert (await bus.send(Touch("a"))).command_id == "two"


async def test_an_id_that_was_made_twice_records_nothing_twice() -> None:
    async with Bus(BANK, ids=Made("one", "one", "one", "two")) as bus:
        await bus.send(Open("a"))
        with pytest.raises(BusError, match="belongs to another command"):
            await bus.send(Open("b"))
        with pytest.raises(BusError, match="belongs to another command"):
            await bus.send(Misbehave("c", "empty generator"))
        assert (await bus.send(Open("b"))).version == 1


async def test_whoever_waits_for_idleness_is_woken_by_the_last_answer() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        store.script.append(gate.before)
        sent = [await begin(tasks, bus, Open("a"), command_id="1") for _ in range(2)]
        await gate.reached.wait()
        assert bus.statistics().commands_in_flight == 2, "a twin is in flight, too"
        idle: list[float] = []

        async def wait() -> None:
            await bus._opened().write.intake.wait_idle()
            idle.append(anyio.current_time())

        tasks.start_soon(wait)
        tasks.start_soon(wait)
        await anyio.sleep(1)
        assert idle == []
        gate.release()
        for one in sent:
            await one.receipt()
        await anyio.wait_all_tasks_blocked()
        assert len(idle) == 2


async def test_twins_count_against_the_bounds_of_the_bus() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, limits=Limits(bus_commands_max=2)) as bus:
        async with anyio.create_task_group() as tasks:
            store.read_gate = gate = Gate()
            for _ in range(2):
                await begin(tasks, bus, Open("a"), command_id="1")
            with pytest.raises(BusError, match="2 commands are in flight"):
                await bus.send(Open("a"), command_id="1")
            gate.release()
        assert bus.statistics().commands_in_flight == 0


async def test_a_command_that_its_sender_gave_up_is_not_joined_but_sent_anew() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        await bus.send(Open("a"))
        store.script.append((gate := Gate()).before)
        sent = [await begin(tasks, bus, Deposit("a", 1))]
        await gate.reached.wait()
        with pytest.raises(DeadlineExceeded):
            await bus.send(Deposit("a", 2), command_id="given up", timeout=1)
        sent.append(await begin(tasks, bus, Deposit("a", 3)))
        again = await begin(tasks, bus, Deposit("a", 2), command_id="given up", expected_version=3)
        twin = await begin(tasks, bus, Deposit("a", 2), command_id="given up")
        gate.release()
        assert [(await one.receipt()).version for one in (*sent, again, twin)] == [2, 3, 4, 4]
        assert (await again.receipt()).duplicate is False
        assert (await twin.receipt()).duplicate is True
        assert bus.statistics().commands_in_flight == 0
