"""A store that others write to as well: what was decided on a stale state is decided again, and never confirmed."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from bus import Bus, BusError, Command, ConflictExhausted, Limits, MemoryEventStore, Receipt, VersionConflict
from bus.core.stored import Appended
from tests.support.bank import BANK, AlreadyOpen, Deposit, Misbehave, NotOpen, Open, Overdrawn, Touch, Withdraw
from tests.support.sending import names, receipt
from tests.support.stores import FakeEventStore, Record, Step, lost_after, lost_before

OPENED = ("opened", b"{}")
DEPOSITED = ("deposited", b'{"amount":5}')


def after(*foreign: Callable[[], Awaitable[None]]) -> Step:
    """An append before which another process appends."""

    async def step(record: Record) -> Appended:
        for append in foreign:
            await append()
        return await record()

    return step


async def test_what_was_decided_on_a_stale_state_is_decided_again() -> None:
    store = FakeEventStore(shared=True)
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Open("a"))
        store.script.append(after(lambda: store.foreign("account-a", DEPOSITED)))
        taken = await bus.send(Withdraw("a", 0))
        assert (taken.version, taken.position, taken.duplicate) == (3, 3, False)


@pytest.mark.parametrize(
    ("command", "stale", "truth"),
    [
        (Withdraw("a", 5), Overdrawn, 3),
        (Touch("a"), 1, 2),
        (Open("b"), 1, AlreadyOpen),
        (Deposit("b", 1), NotOpen, 2),
    ],
    ids=["rejection", "no-op", "success", "rejection of a new one"],
)
async def test_a_stale_state_neither_rejects_nor_accepts(
    command: Command, stale: type[BusError] | int, truth: type[BusError] | int
) -> None:
    def told(outcome: Receipt | BusError) -> object:
        return outcome.version if isinstance(outcome, Receipt) else type(outcome)

    for foreign_writes in (False, True):
        store = FakeEventStore(shared=True)
        async with Bus(BANK, event_store=store) as bus:
            await bus.send_many([Open("a"), Touch("b")])
            if foreign_writes:
                await store.foreign("account-a", DEPOSITED)
                await store.foreign("account-b", OPENED)
            assert told((await bus.send_many([command]))[0]) == (truth if foreign_writes else stale)


async def test_an_expected_version_is_compared_with_what_is_in_the_store() -> None:
    store = FakeEventStore(shared=True)
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Open("a"))
        await store.foreign("account-a", DEPOSITED)
        with pytest.raises(VersionConflict) as caught:
            await bus.send(Withdraw("a", 1), expected_version=1)
        assert caught.value.actual == 2
        await store.foreign("account-a", DEPOSITED)
        assert (await bus.send(Withdraw("a", 10), expected_version=3)).version == 4


async def test_a_conflict_fails_none_of_the_other_streams_in_the_batch() -> None:
    store = FakeEventStore(shared=True)
    async with Bus(BANK, event_store=store) as bus:
        await bus.send_many([Open("a"), Open("b"), Open("c")])
        store.script.append(after(lambda: store.foreign("account-b", DEPOSITED)))
        outcomes = await bus.send_many(
            [Deposit("a", 1), Deposit("b", 1), Withdraw("b", 6), Touch("b"), Deposit("c", 1), Withdraw("b", 1)]
        )
        versions = [one.version if isinstance(one, Receipt) else one.code for one in outcomes]
        assert versions == [2, 3, 4, 4, 2, "rejected.overdrawn"]
        assert [len(batch) for batch in store.batches][-2:] == [6, 4]


async def test_conflicts_without_end_end_in_an_error_and_bind_nobody_else() -> None:
    store = FakeEventStore(shared=True)
    async with Bus(BANK, event_store=store, limits=Limits(conflict_attempts_max=3)) as bus:
        await bus.send(Open("a"))
        step = after(lambda: store.foreign("account-a", DEPOSITED))
        store.script.extend([step] * 4)
        outcomes = await bus.send_many([Deposit("a", 1), Deposit("a", 2)])
        assert isinstance(outcomes[0], ConflictExhausted)
        assert outcomes[0].attempts == 3
        assert outcomes[0].stream == "account-a"
        # The second was never first in line before: only from the fourth batch on do its own attempts count.
        assert receipt(outcomes[1]).version == 6


async def test_a_rejection_that_can_never_be_confirmed_is_no_rejection() -> None:
    store = FakeEventStore(shared=True)
    async with Bus(BANK, event_store=store, limits=Limits(conflict_attempts_max=2)) as bus:
        await bus.send(Open("a"))
        store.script.extend([after(lambda: store.foreign("account-a", DEPOSITED))] * 2)
        with pytest.raises(ConflictExhausted, match="nothing was recorded"):
            await bus.send(Withdraw("a", 1_000))


async def test_a_bug_on_a_stale_state_is_confirmed_too() -> None:
    store = FakeEventStore(shared=True)
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Open("a"))
        before = len(store.batches)
        outcomes = await bus.send_many([Misbehave("a", "raise"), Deposit("a", 1)])
        assert outcomes[0].code == "command-failed"  # type: ignore[union-attr]
        assert receipt(outcomes[1]).version == 2
        assert len(store.batches) > before + 1


async def test_two_buses_on_one_store_lose_nothing_and_agree() -> None:
    store = MemoryEventStore(shared=True)
    async with Bus(BANK, event_store=store) as one, Bus(BANK, event_store=store) as other:
        await one.send(Open("a"))
        outcomes: list[Receipt | BusError] = []

        async def deposit(bus: Bus) -> None:
            for _ in range(50):
                outcomes.extend(await bus.send_many([Deposit("a", 1), Withdraw("a", 1)]))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deposit, one)
            tasks.start_soon(deposit, other)
        assert all(isinstance(outcome, Receipt | ConflictExhausted | Overdrawn) for outcome in outcomes)
        receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
        assert sorted(one.position for one in receipts) == list(range(2, len(receipts) + 2))
        assert await names(one) == await names(other)
        assert len(await names(one)) == len(receipts) + 1
        assert (await other.load(BANK.deciders[0], "a")).version == len(receipts) + 1


async def test_the_same_command_at_two_buses_is_recorded_once() -> None:
    store = MemoryEventStore(shared=True)
    async with Bus(BANK, event_store=store) as one, Bus(BANK, event_store=store) as other:
        await one.send(Open("a"))
        await other.send(Touch("a"))
        first = await one.send(Deposit("a", 5), command_id="the-id")
        again = await other.send(Deposit("a", 5), command_id="the-id")
        assert (again.version, again.position, again.duplicate) == (first.version, first.position, True)
        assert len(await names(other)) == 2


async def test_the_receipt_of_another_bus_is_a_duplicate_also_where_ones_own_append_was_uncertain() -> None:
    store = FakeEventStore(shared=True)
    firsts: list[Receipt] = []
    async with Bus(BANK, event_store=store) as one, Bus(BANK, event_store=store) as other:

        async def lost_behind_the_other(record: Record) -> Appended:
            firsts.append(await one.send(Open("a"), command_id="the-id"))
            return await lost_before(record)

        store.script.append(lost_behind_the_other)
        again = await other.send(Open("a"), command_id="the-id")
        assert [first.duplicate for first in firsts] == [False]
        assert again.duplicate
        assert other.statistics().events == 0


async def test_an_append_that_happened_unseen_on_a_shared_store_is_no_conflict() -> None:
    store = FakeEventStore(shared=True)
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Open("a"))
        store.script.append(lost_after)
        outcomes = await bus.send_many([Deposit("a", 5), Withdraw("a", 6), Withdraw("a", 5)])
        assert (receipt(outcomes[0]).version, receipt(outcomes[0]).duplicate) == (2, False)
        assert isinstance(outcomes[1], Overdrawn)
        assert receipt(outcomes[2]).version == 3
        assert len(await names(bus)) == 3


async def test_what_others_write_is_seen_by_who_waits_for_it() -> None:
    store = FakeEventStore(shared=True)
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Open("a"))
        await store.foreign("account-a", DEPOSITED)
        await bus.wait_settled()
        assert bus.statistics().position == 2
        assert (await bus.send(Touch("a"))).position == 2
