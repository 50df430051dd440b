"""Snapshots change how fast an aggregate is recovered, and nothing else."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from bus import (
    Application,
    Bus,
    CommandFailed,
    CommandIdReused,
    Decider,
    Limits,
    NotSettled,
    Snapshots,
    State,
    StoreUnavailable,
    Unreadable,
)
from bus.core.stored import History, Snapshot
from tests.support.bank import AccountCommand, AccountEvent, Deposit, Misbehave, Open, Overdrawn, Withdraw, identify
from tests.support.bank import decide as decide_account
from tests.support.bank import evolve as evolve_account
from tests.support.stores import FakeEventStore, Gate


class Account(State):
    is_open: bool = False
    balance: float = 0


class Noting(FakeEventStore):
    """Notes what recoveries read, and fails to keep snapshots while it is told to."""

    def __init__(self, *, shared: bool = False) -> None:
        super().__init__(shared=shared)
        self.read: list[tuple[int, int]] = []
        """Of each history read, the version before its first event, and how many events."""
        self.save_fault: Exception | None = None
        self.save_gate: Gate | None = None
        self.saved: list[list[tuple[str, int]]] = []
        """Streams and versions of each call."""

    async def histories(self, after: Any, limit: int, snapshots: Any = None) -> Sequence[History]:
        found = await super().histories(after, limit, snapshots)
        self.read += [(one.version - len(one.events), len(one.events)) for one in found]
        return found

    async def save_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        if self.save_gate is not None:
            await self.save_gate.passed()
        if self.save_fault is not None:
            raise self.save_fault
        self.saved.append([(one.stream, one.version) for one in snapshots])
        await super().save_snapshots(snapshots)

    def spoil(self, payload: bytes, stream: str = "account-a") -> None:
        """Replaces the content of a snapshot."""
        self._snapshots[stream] = msgspec.structs.replace(self._snapshots[stream], payload=payload)


def decide(command: AccountCommand, account: Account) -> Sequence[AccountEvent]:
    return decide_account(command, account)  # type: ignore[arg-type]


def evolve(account: Account, event: AccountEvent) -> Account:
    after = evolve_account(account, event)  # type: ignore[arg-type]
    return after if after is None else Account(after.is_open, after.balance)


def decider(every: int = 10, version: int = 1, *, category: str = "account") -> Decider[Any, Any, Any]:
    policy = Snapshots(version=version, every_events=every)
    return Decider(
        category=category, initial=Account(), identify=identify, decide=decide, evolve=evolve, snapshots=policy
    )


ACCOUNT = decider()
BANK = Application(deciders=[ACCOUNT])


async def filled(store: Noting, events: int, account: str = "a", application: Application = BANK) -> None:
    """One event a command, each in a turn of its own."""
    async with Bus(application, event_store=store) as bus:
        await bus.send(Open(account))
        for _ in range(events - 1):
            await bus.send(Deposit(account, 1))


async def test_an_aggregate_is_recovered_from_its_last_snapshot_and_the_tail() -> None:
    store = Noting()
    await filled(store, 25)
    assert store.saved == [[("account-a", 10)], [("account-a", 20)]]
    store.read.clear()
    async with Bus(BANK, event_store=store) as bus:
        assert (await bus.send(Deposit("a", 1))).version == 26
        assert store.read == [(20, 5)]
        loaded = await bus.load(ACCOUNT, "a")
        assert (loaded.state, loaded.version) == (Account(True, 25), 26)
        assert bus.statistics().snapshots_ignored == 0


async def test_a_snapshot_without_a_tail_is_enough() -> None:
    store = Noting()
    await filled(store, 20)
    store.read.clear()
    async with Bus(BANK, event_store=store) as bus:
        with pytest.raises(Overdrawn) as caught:
            await bus.send(Withdraw("a", 99))
        assert caught.value.facts["balance"] == 19
        assert (await bus.send(Withdraw("a", 19))).version == 21
        assert store.read == [(20, 0)]


async def test_the_next_snapshot_counts_from_the_one_that_was_recovered_from() -> None:
    store = Noting()
    await filled(store, 15)
    async with Bus(BANK, event_store=store) as bus:
        for number in range(16, 22):
            assert bus.statistics().snapshots == (number > 20)
            await bus.send(Deposit("a", 1))
            await bus.wait_settled()
        assert bus.statistics().snapshots == 1
    assert store.saved[-1] == [("account-a", 20)]


async def test_without_a_policy_nothing_is_kept_or_asked_for() -> None:
    plain = Decider(category="account", initial=Account(), identify=identify, decide=decide, evolve=evolve)
    store = Noting()
    await filled(store, 25)
    saved = len(store.saved)
    async with Bus(Application(deciders=[plain]), event_store=store) as bus:
        store.read.clear()
        assert (await bus.load(plain, "a")).state == Account(True, 24)
        assert store.read == [(0, 25)]
        await bus.send_many([Deposit("a", 1)] * 30)
    assert len(store.saved) == saved


async def test_command_ids_are_known_across_a_snapshot() -> None:
    store = Noting()
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Open("a"))
        first = await bus.send(Deposit("a", 7), command_id="old")
        await bus.send_many([Deposit("a", 1)] * 30)
    async with Bus(BANK, event_store=store) as bus:
        again = await bus.send(Deposit("a", 7), command_id="old")
        assert again == msgspec.structs.replace(first, duplicate=True)
        with pytest.raises(CommandIdReused):
            await bus.send(Deposit("a", 8), command_id="old")
        assert (await bus.load(ACCOUNT, "a")).state == Account(True, 37)


class Renamed(Account): ...


class Wider(State):
    is_open: bool = False
    balance: float = 0
    deposits: int = 0


def evolve_wider(state: Wider, event: AccountEvent) -> Wider:
    after = evolve(Account(state.is_open, state.balance), event)
    return Wider(after.is_open, after.balance, state.deposits + 1)


def decide_wider(command: AccountCommand, state: Wider) -> Sequence[AccountEvent]:
    return decide(command, Account(state.is_open, state.balance))


async def test_a_snapshot_of_another_version_or_shape_is_ignored_and_replaced() -> None:
    wider = Decider(
        category="account",
        initial=Wider(),
        identify=identify,
        decide=decide_wider,
        evolve=evolve_wider,
        snapshots=Snapshots(version=1, every_events=10),
    )
    for other, state in ((decider(version=2), Account(True, 25)), (wider, Wider(True, 25, 26))):
        store = Noting()
        await filled(store, 25)
        application = Application(deciders=[other])
        store.read.clear()
        async with Bus(application, event_store=store) as bus:
            await bus.send(Deposit("a", 1))
            assert store.read == [(0, 25)]
            assert (await bus.load(other, "a")).state == state
            await bus.wait_settled()
            assert bus.statistics().snapshots_ignored == 0
        assert store.saved[-1] == [("account-a", 26)]
        async with Bus(application, event_store=store) as bus:
            store.read.clear()
            assert (await bus.load(other, "a")).state == state
            assert store.read == [(26, 0)]


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"balance":"rich"}', b"\xff"])
async def test_a_snapshot_that_does_not_decode_is_ignored_counted_and_replaced(payload: bytes) -> None:
    store = Noting()
    await filled(store, 25)
    await filled(store, 12, "b")
    store.spoil(payload)
    async with Bus(BANK, event_store=store) as bus:
        a, b = await bus.send_many([Deposit("a", 1), Deposit("b", 1)])
        assert not isinstance(a, Exception)
        assert not isinstance(b, Exception)
        assert (a.version, b.version) == (26, 13)
        assert (await bus.load(ACCOUNT, "b")).state == Account(True, 12)
        await bus.wait_settled()
        statistics = bus.statistics()
        assert (statistics.snapshots_ignored, statistics.snapshot_failures) == (1, 0)
        assert statistics.snapshot_error is not None
        assert "the snapshot of 'account-a' at version 20 does not decode" in statistics.snapshot_error
        assert (await bus.load(ACCOUNT, "a")).state == Account(True, 25)
        assert bus.statistics().snapshots_ignored == 1


async def test_a_fault_in_the_tail_is_told_as_without_a_snapshot() -> None:
    store = Noting(shared=True)
    await filled(store, 12)
    await store.foreign("account-a", ("spoiled", b'{"how":"evolve-raises"}'))
    await filled(store, 12, "b")
    await store.foreign("account-b", ("deposited", b"not JSON"))
    async with Bus(BANK, event_store=store) as bus:
        with pytest.raises(CommandFailed, match="could not be recovered"):
            await bus.send(Deposit("a", 1))
        with pytest.raises(Unreadable, match="position 26"):
            await bus.send(Deposit("b", 1))


async def test_a_store_that_keeps_no_snapshots_stops_nobody_and_is_counted() -> None:
    store = Noting()
    store.save_fault = StoreUnavailable("no room", store="fake:")
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Open("a"))
        for _ in range(24):
            await bus.send(Deposit("a", 1))
        await bus.wait_settled()
        statistics = bus.statistics()
        assert (statistics.snapshots, statistics.snapshot_failures) == (0, 2)
        assert statistics.snapshot_error == "StoreUnavailable: no room"
        assert statistics.restarts == 0
        store.save_fault = None
        for _ in range(5):
            await bus.send(Deposit("a", 1))
        await bus.wait_settled()
        assert bus.statistics().snapshots == 1
    assert store.saved == [[("account-a", 30)]]


async def test_commands_go_on_while_a_snapshot_is_being_written_and_settling_waits_for_it() -> None:
    store = Noting()
    gate = store.save_gate = Gate()
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Open("a"))
        await bus.send_many([Deposit("a", 1)] * 9)
        await gate.reached.wait()
        assert (await bus.send(Deposit("a", 1))).version == 11
        with pytest.raises(NotSettled, match=r"snapshots \(1\)"):
            await bus.wait_settled(timeout=0.1)
        gate.release()
        await bus.wait_settled()
        assert bus.statistics().snapshots == 1


async def test_no_more_snapshots_wait_than_the_limit_and_those_left_out_come_later() -> None:
    store = Noting()
    gate = store.save_gate = Gate()
    limits = Limits(snapshots_waiting_max=2, snapshot_batch_max=1)
    application = Application(deciders=[decider(every=1)])
    async with Bus(application, event_store=store, limits=limits) as bus:
        await bus.send(Open("first"))
        await gate.reached.wait()
        await bus.send_many([Open(account) for account in "abcd"])
        store.save_gate = None
        gate.release()
        await bus.wait_settled()
        assert store.saved == [[("account-first", 1)], [("account-a", 1)], [("account-b", 1)]]
        await bus.send(Deposit("d", 1))
        await bus.wait_settled()
        assert store.saved[3:] == [[("account-d", 2)]]


async def test_a_state_that_cannot_be_kept_is_counted_and_its_neighbours_are_kept() -> None:
    store = Noting()
    limits = Limits(snapshot_bytes_max=40)
    application = Application(deciders=[decider(every=2)])
    async with Bus(application, event_store=store, limits=limits) as bus:
        await bus.send_many([Open("a"), Open("b"), Deposit("a", 1e300 / 3), Deposit("b", 1)])
        await bus.wait_settled()
        statistics = bus.statistics()
        assert (statistics.snapshots, statistics.snapshot_failures) == (1, 1)
        assert statistics.snapshot_error == "ValueError: 49 bytes are more than Limits.snapshot_bytes_max"
    assert store.saved == [[("account-b", 2)]]


async def test_a_state_that_was_never_committed_is_never_kept() -> None:
    store = Noting(shared=True)
    application = Application(deciders=[decider(every=2)])
    async with Bus(application, event_store=store) as bus:
        await bus.send(Open("a"))
        await store.foreign("account-a", ("deposited", b'{"amount":100}'))
        await bus.send(Deposit("a", 1))
        with pytest.raises(CommandFailed):
            await bus.send(Misbehave("a", "evolve-raises"))
        await bus.wait_settled()
        assert store.saved == [[("account-a", 3)]]
        assert (await bus.load(application.deciders[0], "a")).state == Account(True, 101)


async def test_what_is_recovered_is_the_same_with_snapshots_of_any_spacing() -> None:
    for every in (1, 2, 3, 7, 100):
        store, application = Noting(), Application(deciders=[decider(every)])
        for page in (1, 2, 5, 100):
            limits = Limits(recover_events_max=page, idle_timeout_s=0.001)
            async with Bus(application, event_store=store, limits=limits) as bus:
                for account in "abc":
                    await bus.send_many([Open(account), *[Deposit(account, 1)] * (ord(account) - 92)])
                await bus.wait_settled()
                states = [(await bus.load(application.deciders[0], account)) for account in "abcd"]
                versions = [await count(store, f"account-{account}") for account in "abcd"]
                assert [one.version for one in states] == versions
                assert [one.state.balance for one in states] == [max(0, version - 1) for version in versions]


async def count(store: Noting, stream: str) -> int:
    return len(store._streams.get(stream, []))
