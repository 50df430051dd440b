"""Settling: receipts, refusals and publication, each from what the store said."""

from typing import Any

import msgspec
import pytest

from bus import STOP, Application, Bus, CommandFailed, MemoryEventStore, Projection, Receipt, Recorded, Unreadable, View
from bus.core.fingerprint import fingerprint
from tests.support.bank import ACCOUNT, BANK, AccountEvent, Deposit, Deposited, Misbehave, Open, Touch, Withdraw
from tests.support.sending import receipt, recorded
from tests.support.stores import FakeEventStore, lost_after, lost_before


class Seen(View):
    places: tuple[tuple[int, str, int], ...]


def project(view: Seen | None, one: Recorded[AccountEvent], key: str) -> Seen:
    return Seen((*(view.places if view else ()), (one.position, one.stream, one.version)))


SEEN = Projection(name="seen", version=1, view=Seen, project=project, key=lambda one: "all", on_poison=STOP)
WATCHED = Application(deciders=[ACCOUNT], projections=[SEEN])


async def test_receipts_within_a_batch_have_the_places_of_their_own_events() -> None:
    async with Bus(BANK) as bus:
        await bus.send_many([Open("a"), Open("b")])
        outcomes = await bus.send_many(
            [Misbehave("a", "amounts", [1, 2]), Touch("a"), Deposit("b", 3), Withdraw("a", 99), Touch("b"), Touch("c")],
            command_ids=["1", "2", "3", "4", "5", "6"],
        )
        by_command = {one.command_id: one for one in await recorded(bus)}
        for outcome in (outcomes[0], outcomes[2]):
            assert receipt(outcome).position == by_command[receipt(outcome).command_id].position
        assert receipt(outcomes[1]).version == 3
        assert [receipt(outcomes[place]).position >= 2 for place in (1, 4, 5)] == [True] * 3


async def test_what_is_published_is_what_is_recorded() -> None:
    store = FakeEventStore()
    async with Bus(WATCHED, event_store=store) as bus:
        for number in range(30):
            if number % 3 == 0:
                store.script.append(lost_after if number % 2 else lost_before)
            await bus.send_many(
                [
                    Open("a"),
                    Open("b"),
                    Deposit("a", number),
                    Misbehave("b", "amounts", [1, 2]),
                    Withdraw("a", 1),
                    Misbehave("a", "raise"),
                    Touch("b"),
                ]
            )
        await bus.wait_settled()
        events = await recorded(bus)
        opened = bus._opened()
        table = opened.read.projectors["seen"].table
        async with bus._view_store.snapshot() as reader:
            payload = await reader.get(table, "all")
        seen = msgspec.json.decode(payload or b"", type=Seen)
        assert seen == Seen(tuple((one.position, one.stream, one.version) for one in events))
        assert bus.statistics().events == len(events)


async def test_published_events_carry_all_that_recorded_events_do() -> None:
    taken: list[Recorded[Any]] = []

    def key(one: Recorded[AccountEvent]) -> str:
        taken.append(one)
        return "all"

    projection = Projection(name="seen", version=1, view=Seen, project=project, key=key, on_poison=STOP)
    async with Bus(Application(deciders=[ACCOUNT], projections=[projection])) as bus:
        await bus.send(Open("a"), command_id="1")
        await bus.send(Misbehave("a", "amounts", [1, 2]), correlation_id="talk")
        await bus.wait_settled()
        stored = await recorded(bus)
        assert taken == stored
        assert all(one.recorded_at.tzinfo is not None for one in taken)


async def test_the_receipt_of_a_command_whose_events_nobody_knows_any_more_is_unreadable() -> None:
    store = FakeEventStore(shared=True)
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Open("a"))
        command = Deposit("a", 1)
        await store.foreign("account-a", ("of-old", b"{}"), command_id="the-id", fingerprint=fingerprint(command))
        with pytest.raises(Unreadable, match="'of-old' at position 2"):
            await bus.send(command, command_id="the-id")


async def test_the_refusal_of_data_names_command_and_reason() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        store.unstorable.add("the-id")
        with pytest.raises(CommandFailed, match="the store cannot hold what command 'the-id' would record") as caught:
            await bus.send(Open("a"), command_id="the-id")
        assert caught.value.stream == "account-a"


async def test_a_receipt_carries_its_events_as_they_are_stored() -> None:
    async with Bus(BANK, event_store=MemoryEventStore()) as bus:
        await bus.send(Open("a"))
        taken = await bus.send(Deposit("a", 5))
        assert isinstance(taken, Receipt)
        event = taken.events[0]
        assert isinstance(event, Deposited)
        assert type(event.amount) is float, "an integer was sent, and a float is read back"
