"""Bugs in the user's functions, and data that no store can hold: contained, told, and recovered from."""

import math
from asyncio import CancelledError
from typing import Any

import pytest

from bus import Bus, CommandFailed, CommandIdReused, Limits, ProjectionStopped, Receipt, Recorded, Removed
from tests.support import ledger
from tests.support.bank import ACCOUNT, BANK, Deposit, Misbehave, NotOpen, Open, Opened, Touch, Withdraw
from tests.support.ledger import AccountEvent, Balance
from tests.support.sending import names, receipt
from tests.support.stores import FakeEventStore


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("raise", ZeroDivisionError),
        ("none", TypeError),
        ("event", TypeError),
        ("foreign", TypeError),
        ("evolve-none", TypeError),
        ("evolve-raises", ZeroDivisionError),
        ("cancelled", CancelledError),
        ("panic", GeneratorExit),
    ],
)
@pytest.mark.parametrize("command_id", [None, "the-id"], ids=["unnamed", "named"])
async def test_a_bug_fails_its_command_with_the_cause_and_the_bus_goes_on(
    how: str, cause: type[BaseException], command_id: str | None
) -> None:
    async with Bus(BANK) as bus:
        await bus.send(Open("a"))
        with pytest.raises(CommandFailed, match="this is a bug in the aggregate's code") as caught:
            await bus.send(Misbehave("a", how), command_id=command_id)
        assert isinstance(caught.value.__cause__, cause)
        assert (caught.value.command, caught.value.stream) == ("misbehave", "account-a")
        assert (await bus.send(Deposit("a", 5))).version == 2
        assert await names(bus) == ["account-a 1 Opened", "account-a 2 Deposited"]
        assert bus.statistics().recovered >= 2, "the state was read anew"


@pytest.mark.parametrize(
    "amount", [math.nan, math.inf, "5", None, b"5", object(), "\ud800"], ids=lambda one: repr(one)[:12]
)
async def test_a_value_that_would_not_be_read_back_fails_its_command_and_none_of_its_neighbours(amount: Any) -> None:
    async with Bus(BANK) as bus:
        accounts = [f"a{number}" for number in range(64)]
        await bus.send_many([Open(account) for account in accounts])
        before = bus.statistics()
        outcomes = await bus.send_many([Deposit(account, amount if account == "a7" else 1) for account in accounts])
        assert isinstance(outcomes[7], CommandFailed)
        del outcomes[7]
        assert all(receipt(one).version == 2 for one in outcomes)
        after = bus.statistics()
        assert after.events - before.events == 63
        assert after.batches - before.batches == 1
        assert after.restarts == 0


async def test_an_integer_where_a_float_belongs_is_read_back_as_one() -> None:
    async with Bus(BANK) as bus:
        await bus.send(Open("a"))
        assert (await bus.send(Deposit("a", 5))).events[0] == (await bus.send(Deposit("a", 5.0))).events[0]


UNENCODABLE = pytest.mark.parametrize("note", [object(), "\ud800", {object()}], ids=["object", "surrogate", "set"])


@UNENCODABLE
async def test_a_command_with_a_named_id_that_cannot_be_encoded_fails_alone(note: Any) -> None:
    async with Bus(BANK) as bus:
        await bus.send_many([Open("a"), Open("b")])
        commands = [Deposit("a", 1), Misbehave("a", "fine", note), Deposit("a", 2), Deposit("b", 3)]
        outcomes = await bus.send_many(commands, command_ids=["1", "2", "3", "4"])
        assert isinstance(outcomes[1], CommandFailed)
        assert [receipt(outcomes[place]).version for place in (0, 2, 3)] == [2, 3, 2]


@UNENCODABLE
async def test_a_command_that_cannot_be_encoded_is_no_other_under_its_id(note: Any) -> None:
    async with Bus(BANK) as bus:
        await bus.send(Open("a"))
        recorded = await bus.send(Misbehave("a", "fine", note))
        assert recorded.version == 2, "its events are sound"
        with pytest.raises(CommandIdReused):
            await bus.send(Misbehave("a", "fine"), command_id=recorded.command_id)


async def test_a_bug_drops_no_command_of_its_aggregate() -> None:
    async with Bus(BANK) as bus:
        outcomes = await bus.send_many(
            [
                Open("a"),
                Misbehave("a", "raise"),
                Deposit("a", 1),
                Misbehave("a", "evolve-none"),
                Touch("a"),
                Misbehave("a", "foreign"),
                Withdraw("a", 1),
            ]
        )
        versions = [one.version if isinstance(one, Receipt) else one.code for one in outcomes]
        assert versions == [1, "command-failed", 2, "command-failed", 2, "command-failed", 3]


async def test_an_entry_that_the_store_cannot_hold_fails_alone() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        await bus.send_many([Open(f"a{number}") for number in range(4)])
        store.unstorable.add("bad")
        outcomes = await bus.send_many(
            [
                Deposit("a0", 1),
                Deposit("a1", 1),
                Deposit("a1", 2),
                Withdraw("a1", 3),
                Withdraw("a1", 2),
                Deposit("a2", 1),
            ],
            command_ids=["1", "bad", "3", "4", "5", "6"],
        )
        assert isinstance(outcomes[1], CommandFailed)
        assert "the store cannot hold" in str(outcomes[1])
        assert (outcomes[1].command, outcomes[1].stream) == ("deposit", "account-a1")
        assert receipt(outcomes[0]).version == 2
        assert receipt(outcomes[2]).version == 2
        assert outcomes[3].code == "rejected.overdrawn", "it rested on a deposit that never was"  # type: ignore[union-attr]
        assert receipt(outcomes[4]).version == 3
        assert receipt(outcomes[5]).version == 2
        assert (await bus.load(ACCOUNT, "a1")).state.balance == 0


async def test_ids_that_no_store_can_hold_are_refused_before_they_reach_it() -> None:
    async with Bus(BANK) as bus:
        bad_ids: list[Any] = ["", "nul\0", "\ud800", "ä" * 101, "x" * 201]
        for bad in bad_ids:
            with pytest.raises(CommandFailed, match="its aggregate's id is"):
                await bus.send(Open(bad))
            with pytest.raises(CommandFailed, match="its command id is"):
                await bus.send(Open("a"), command_id=bad)
            with pytest.raises(CommandFailed, match="its correlation id is"):
                await bus.send(Open("a"), correlation_id=bad)
        with pytest.raises(CommandFailed, match="its aggregate's id is of type int, not str"):
            await bus.send(Open(5))  # type: ignore[arg-type]
        other_type: Any = 7
        with pytest.raises(CommandFailed, match="its correlation id is of type int, not str"):
            await bus.send(Open("a"), correlation_id=other_type)
        with pytest.raises(CommandFailed, match="its command id is of type int, not str"):
            await bus.send(Open("a"), command_id=other_type)
        assert bus.statistics().residents == 0
        assert (await bus.send(Open("ä" * 100), command_id="ö" * 100, correlation_id="日-%_")).version == 1


async def test_an_exception_that_cannot_be_put_into_words_fails_its_command_alone() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

        __repr__ = __str__

    class Silent:
        def __repr__(self) -> str:
            raise Mute

        def __gt__(self, other: object) -> bool:
            raise Mute

    amount: Any = Silent()
    async with Bus(BANK) as bus:
        outcomes = await bus.send_many([Open("a"), Withdraw("a", amount), Deposit("a", 1), Open("b")])
        assert isinstance(outcomes[1], CommandFailed)
        assert isinstance(outcomes[1].__cause__, Mute)
        assert [receipt(outcomes[place]).version for place in (0, 2, 3)] == [1, 2, 1]
        assert bus.statistics().restarts == 0


async def test_more_events_or_larger_ones_than_allowed_fail_their_command() -> None:
    limits = Limits(command_events_max=3, event_bytes_max=50)
    async with Bus(BANK, limits=limits) as bus:
        assert (await bus.send(Misbehave("a", "many", 3))).version == 3
        with pytest.raises(CommandFailed, match=r"more than 3 events, which is Limits\.command_events_max"):
            await bus.send(Misbehave("a", "many", 4))
        assert (await bus.send(Misbehave("a", "x" * 10))).version == 4
        with pytest.raises(CommandFailed, match=r"more than Limits\.event_bytes_max"):
            await bus.send(Misbehave("a", "x" * 50))
        assert (await bus.send(Deposit("a", 1))).version == 5


async def test_a_rejection_is_the_very_exception_that_the_aggregate_raised() -> None:
    async with Bus(BANK) as bus:
        with pytest.raises(NotOpen) as caught:
            await bus.send(Deposit("a", 1))
        assert type(caught.value) is NotOpen
        assert caught.value.code == "rejected.not-open"
        assert str(caught.value) == "not open"
        assert bus.statistics().batches == 0


async def test_events_that_come_from_a_generator_are_events() -> None:
    async with Bus(BANK) as bus:
        assert (await bus.send(Misbehave("a", "generator"))).version == 1
        assert (await bus.send(Misbehave("a", "empty generator"))).version == 1
        assert (await bus.send(Deposit("a", 1))).version == 2


async def test_events_without_end_are_cut_off() -> None:
    async with Bus(BANK) as bus:
        with pytest.raises(CommandFailed, match="more than 1000 events"):
            await bus.send(Misbehave("a", "endless"))
        assert await names(bus) == []


@pytest.mark.parametrize(
    "note",
    [(1, 2), math.nan, {1: 2}, b"bytes", frozenset([1]), Opened()],
    ids=["tuple", "nan", "keys", "bytes", "set", "struct"],
)
async def test_a_value_that_would_be_read_back_as_another_fails_its_command(note: Any) -> None:
    async with Bus(BANK) as bus:
        with pytest.raises(CommandFailed, match="would be read back from the store as"):
            await bus.send(Misbehave("a", "note", note))
        assert (await bus.send(Misbehave("a", "note", [1, {"two": None}]))).version == 1


async def test_what_a_projection_raises_that_is_no_exception_stops_it_and_nothing_else() -> None:
    def panic(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
        raise CancelledError

    async with Bus(ledger.ledger(ledger.balances(panic)), limits=Limits(projection_backoff_s=0.001)) as bus:
        sent = await bus.send(ledger.Deposit("a"))
        await bus.wait_projected(sent, "journal")
        with pytest.raises(ProjectionStopped, match="CancelledError"):
            await bus.wait_projected(sent, "balances")
        assert bus.statistics().restarts == 0
