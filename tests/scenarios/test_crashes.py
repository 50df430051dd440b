"""A process that ends between two steps of a message's journey: nothing acknowledged is lost, nothing is doubled."""

from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest

from bus import (
    STOP,
    Application,
    Bus,
    Event,
    Limits,
    MemoryViewStore,
    Projection,
    Query,
    Receipt,
    Recorded,
    View,
    Views,
)
from bus.core.stored import ViewChanges, ViewTable
from tests.support.bank import ACCOUNT, Deposit, Deposited, Misbehave, Open
from tests.support.stores import Crash, FakeEventStore, Gate, crash_after, crash_before, lost_after, normal


class Balance(View):
    amount: float
    positions: tuple[int, ...]


def project(view: Balance | None, recorded: Recorded[Deposited], key: str) -> Balance:
    before = view or Balance(0, ())
    return Balance(before.amount + recorded.event.amount, (*before.positions, recorded.position))


BALANCES = Projection(
    name="balances", version=1, view=Balance, project=project, key=lambda recorded: recorded.stream_id, on_poison=STOP
)


class GetBalance(Query[Balance | None]):
    account_id: str


async def get_balance(query: GetBalance, views: Views) -> Balance | None:
    return await views.get(Balance, query.account_id)


APPLICATION = Application(deciders=[ACCOUNT], projections=[BALANCES], query_handlers=[get_balance])
LIMITS = Limits(shutdown_timeout_s=5)


class FragileViewStore(MemoryViewStore):
    """Ends the process before or after its next commit."""

    def __init__(self) -> None:
        super().__init__()
        self.crash: str | None = None

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        crash, self.crash = self.crash, None
        if crash == "before":
            raise Crash
        committed = await super().commit(table, changes)
        if crash == "after":
            raise Crash
        return committed


def at_decide(bus: Bus, store: FakeEventStore, views: FragileViewStore) -> None:
    store.script.append(normal)


def before_commit(bus: Bus, store: FakeEventStore, views: FragileViewStore) -> None:
    store.script.extend([normal, crash_before])


def after_commit(bus: Bus, store: FakeEventStore, views: FragileViewStore) -> None:
    store.script.extend([normal, crash_after])


def after_a_lost_commit(bus: Bus, store: FakeEventStore, views: FragileViewStore) -> None:
    store.script.extend([normal, lost_after, crash_before])


def before_publish(bus: Bus, store: FakeEventStore, views: FragileViewStore) -> None:
    feed = bus._opened().feed
    publish = feed.publish

    def crashing(before: int, events: Sequence[Recorded[Event]]) -> None:
        if before:
            raise Crash
        publish(before, events)

    feed.publish = crashing  # type: ignore[method-assign]


def before_views(bus: Bus, store: FakeEventStore, views: FragileViewStore) -> None:
    views.crash = "before"


def after_views(bus: Bus, store: FakeEventStore, views: FragileViewStore) -> None:
    views.crash = "after"


@pytest.mark.parametrize(
    "arrange",
    [at_decide, before_commit, after_commit, after_a_lost_commit, before_publish, before_views, after_views],
)
async def test_a_crash_loses_nothing_acknowledged_and_doubles_nothing(
    arrange: Callable[[Bus, FakeEventStore, FragileViewStore], None],
) -> None:
    store, views = FakeEventStore(), FragileViewStore()
    acknowledged: dict[str, Receipt] = {}
    known: set[str] = set()

    async def send(bus: Bus, account: str) -> None:
        for number in range(5):
            command_id = f"{account} {number}"
            receipt = await bus.send(Deposit(account, 1), command_id=command_id)
            assert receipt.duplicate is (command_id in known)
            acknowledged[command_id] = receipt

    async def send_all(bus: Bus) -> None:
        async with anyio.create_task_group() as tasks:
            for account in "abc":
                tasks.start_soon(send, bus, account)

    async def crash() -> None:
        async with Bus(APPLICATION, event_store=store, view_store=views, limits=LIMITS) as bus:
            await bus.send_many([Open(account) for account in "abc"])
            arrange(bus, store, views)
            if arrange is at_decide:
                await send(bus, "a")
                raise Crash
            await send_all(bus)
            await bus.wait_settled()
        pytest.fail("it was to crash")

    with pytest.raises(BaseException) as caught:  # noqa: PT011
        await crash()
    assert isinstance(caught.value, Crash | BaseExceptionGroup), repr(caught.value)
    before = dict(acknowledged)
    async with Bus(APPLICATION, event_store=store, view_store=views, limits=LIMITS) as bus:
        recorded = [one async for one in bus.events()]
        assert [one.position for one in recorded] == list(range(1, len(recorded) + 1))
        by_command = {one.command_id: one for one in recorded}
        for command_id, receipt in before.items():
            assert by_command[command_id].position == receipt.position
        known.update(by_command)
        await send_all(bus)
        recorded = [one async for one in bus.events()]
        assert len(recorded) == 3 + 15
        await bus.wait_settled()
        for account in "abc":
            positions = [one.position for one in recorded if one.stream_id == account and one.version > 1]
            assert await bus.query(GetBalance(account)) == Balance(5, tuple(positions))
        for command_id, receipt in before.items():
            assert acknowledged[command_id].position == receipt.position


async def test_a_crash_ends_the_body_and_is_told_apart_from_an_error() -> None:
    store = FakeEventStore()
    started = anyio.current_time()
    reached: list[str] = []
    with pytest.raises(BaseExceptionGroup) as caught:  # noqa: PT012
        async with Bus(APPLICATION, event_store=store) as bus:
            await bus.send(Open("a"))
            store.script.append(crash_before)
            await bus.send(Deposit("a", 1))
            reached.append("after the crash")
            await anyio.sleep_forever()
    assert caught.group_contains(Crash)
    assert anyio.current_time() - started < 1, "nobody waits for tasks that have ended"
    async with Bus(APPLICATION, event_store=store) as bus:
        assert (await bus.send(Deposit("a", 1))).version == 2


async def test_a_bus_that_is_forgotten_in_the_middle_loses_nothing() -> None:
    store = FakeEventStore()
    gate = Gate()
    with anyio.CancelScope() as scope:
        async with Bus(APPLICATION, event_store=store, limits=Limits(shutdown_timeout_s=0.1)) as bus:
            first: Any = await bus.send_many([Open("a"), Deposit("a", 1), Misbehave("a", "amounts", [1, 2])])
            store.script.append(gate.after)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(bus.send_many, [Deposit("a", 9)])
                await gate.reached.wait()
                scope.cancel()
    async with Bus(APPLICATION, event_store=store) as bus:
        recorded = [one async for one in bus.events()]
        assert [one.version for one in recorded] == [1, 2, 3, 4, 5]
        assert first[2].position == 4
