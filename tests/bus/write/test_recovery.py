"""Recovery: states from histories, many at a time and page by page; a fault in one is no fault of the others."""

from collections.abc import Sequence

import pytest

from bus import Application, Bus, CommandFailed, Decider, Limits, StoreUnavailable, Unreadable
from bus.write.recovery import Recovery
from tests.support.bank import ACCOUNT, BANK, Account, AccountEvent, Deposit, Open, decide, evolve, identify
from tests.support.stores import FakeEventStore


async def test_many_events_are_recovered_page_by_page() -> None:
    store = FakeEventStore()
    limits = Limits(recover_events_max=7)
    async with Bus(BANK, event_store=store, limits=limits) as bus:
        await bus.send_many([Open(account) for account in "abc"])
        await bus.send_many([Deposit(account, 1) for account in "aabbbc" * 10])
        recovery = Recovery(store, BANK.schema, limits)
        store.reads = 0
        found = await recovery.load({f"account-{account}": ACCOUNT for account in "abcd"})
        assert store.reads > 8
        assert [(one.version, one.state) for one in found.values()] == [
            (21, Account(True, 20)),
            (31, Account(True, 30)),
            (11, Account(True, 10)),
            (0, Account()),
        ]
        assert recovery.recovered == 4


@pytest.mark.parametrize("page", [1, 2, 3, 4, 100])
async def test_a_fault_in_one_history_is_no_fault_of_the_others(page: int) -> None:
    store = FakeEventStore()
    for stream, *events in (
        ("account-a", ("opened", b"{}"), ("unknown", b"{}"), ("opened", b"{}"), ("unknown", b"{}")),
        ("account-b", ("opened", b"{}"), ("deposited", b'{"amount":5}')),
        ("account-c", ("opened", b"{}"), ("deposited", b'{"amount":"x"}')),
        ("account-d", ("spoiled", b'{"how":"evolve-raises"}'), ("opened", b"{}")),
        ("account-e", ("spoiled", b'{"how":"evolve-none"}')),
        ("account-f", ("opened", b"{}"), ("opened", b"{}")),
    ):
        await store.foreign(stream, *events)
    async with store:
        recovery = Recovery(store, BANK.schema, Limits(recover_events_max=page))
        found = await recovery.load({f"account-{account}": ACCOUNT for account in "abcdefg"})
    faults = [type(one.fault) for one in found.values()]
    assert faults == [Unreadable, type(None), Unreadable, CommandFailed, CommandFailed, type(None), type(None)]
    unknown, broken = found["account-a"].fault, found["account-c"].fault
    assert isinstance(unknown, Unreadable)
    assert isinstance(broken, Unreadable)
    assert (unknown.stream, unknown.version, unknown.position, unknown.name) == ("account-a", 2, 2, "unknown")
    assert (broken.stream, broken.version, broken.position, broken.name) == ("account-c", 2, 8, "deposited")
    assert (found["account-b"].version, found["account-b"].state) == (2, Account(True, 5))
    assert found["account-f"].version == 2


async def test_a_fold_is_used_where_there_is_one() -> None:
    folded: list[int] = []

    def fold(account: Account, events: Sequence[AccountEvent]) -> Account:
        folded.append(len(events))
        for event in events:
            account = evolve(account, event)
        return account

    folding = Decider(category="account", initial=Account(), identify=identify, decide=decide, evolve=evolve, fold=fold)
    store = FakeEventStore()
    async with Bus(Application(deciders=[folding]), event_store=store) as bus:
        await bus.send_many([Open("a"), *[Deposit("a", 1)] * 4])
    async with Bus(Application(deciders=[folding]), event_store=store) as bus:
        assert (await bus.send(Deposit("a", 1))).version == 6
        assert (await bus.load(folding, "a")).state == Account(True, 5)
    assert folded == [5, 6]


@pytest.mark.parametrize("fault", [StoreUnavailable("away", store="fake:"), OSError("broken"), KeyError("a bug")])
async def test_a_store_that_cannot_be_read_is_unavailable(fault: Exception) -> None:
    store = FakeEventStore()
    async with store:
        store.read_fault = fault
        with pytest.raises(StoreUnavailable):
            await Recovery(store, BANK.schema, Limits()).load({"account-a": ACCOUNT})
