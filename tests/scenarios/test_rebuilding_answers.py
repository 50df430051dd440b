"""Queries, and answers that are kept, while other views come to answer and those before them are dropped."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
import pytest

from bus import PARK, Application, Bus, BusClosed, Limits, MemoryEventStore, MemoryViewStore, Query, QueryTimeout, Views
from bus.core.builds import Build
from bus.core.stored import Checkpoint, ViewChanges, ViewTable
from bus.memory.views import MemoryViewReader
from bus.read.lineages import Lineages
from tests.scenarios.test_rebuilding import QUICK, fill
from tests.scenarios.test_rebuilding_together import OLD, LateViewStore
from tests.support.building import HeldViewStore, TurningClock, raised
from tests.support.ledger import LEDGER, Balance, Deposit, GetBalance, balances
from tests.support.looking import Asking, Desk, Look, balance

DOUBLED = raised().view_projections[0]


async def in_tasks(query: Look, views: Views) -> Balance | None:
    """Reads in a task of its own, whose exceptions come in a group."""
    found: list[Balance | None] = []

    async def read() -> None:
        found.append(await balance(query, views))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
    return found[0]


@pytest.mark.parametrize("handler", [balance, in_tasks])
async def test_a_cached_query_that_is_overtaken_by_a_switch_is_answered_from_what_answers_then(
    handler: Callable[[Look, Views], Awaitable[Balance | None]],
) -> None:
    events, views, desk = MemoryEventStore(), HeldViewStore(), Desk(handler)
    await fill(events, views)
    application = desk.application(DOUBLED)
    async with (
        Bus(application, event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus,
        anyio.create_task_group() as tasks,
    ):
        desk.before = gate = anyio.Event()
        asking = Asking(bus, Look("a-0"))
        tasks.start_soon(asking.run)
        await anyio.wait_all_tasks_blocked()
        views.gate.set()
        await anyio.sleep(5)
        assert asking.got == []
        gate.set()
        await anyio.sleep(1)
        (found,) = asking.got
        assert found.balance == 14
        assert desk.runs == 2


@pytest.mark.parametrize("query", [Look("a-0"), GetBalance("a-0")])
async def test_who_asks_while_what_answered_is_dropped_waits_until_the_other_has_what_was_answered(
    query: Query[Balance | None],
) -> None:
    events, views, desk = MemoryEventStore(), LateViewStore(), Desk()
    await fill(events, views)
    application = desk.application(DOUBLED)
    async with (
        Bus(application, event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus,
        anyio.create_task_group() as tasks,
    ):
        with anyio.fail_after(10):
            while not views.is_switched:  # noqa: ASYNC110
                await anyio.sleep(0.001)
        before = await bus.query(query, after=await bus.send(Deposit("a-0")))
        assert before is not None
        assert before.balance == 8
        assert await views.drop(OLD)
        # What another process has written says nothing any more, as far as anybody knows here.
        bus._opened().read.lineages.lineages["balances"].answers.progress.begin(None)
        asking = Asking(bus, query)
        tasks.start_soon(asking.run)
        await anyio.sleep(5)
        assert asking.got == []
        views.gate.set()
        await anyio.sleep(5)
        (found,) = asking.got
        assert found.balance == 16


NEW = ViewTable("balances", 1, OLD.indexes, 1)


async def replace(views: MemoryViewStore) -> None:
    """Another process lets others answer, which are empty, and drops those before them."""
    await views.build(NEW, datetime.now(UTC))
    claim = (await views.claim([NEW], "another", 60.0))[NEW]
    checkpoint = (await views.known([OLD]))[OLD]
    assert await views.commit(NEW, ViewChanges(Checkpoint(), checkpoint, (), (), claim.epoch))
    assert await views.switch(NEW, claim.epoch, OLD, datetime.now(UTC))
    assert await views.drop(OLD)


class HookedViewStore(MemoryViewStore):
    """Does something just before a snapshot is taken."""

    hooks: Sequence[Callable[[], Awaitable[None]] | None] = ()
    """What, for each of the next ones."""

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[MemoryViewReader]:
        if self.hooks:
            hook, *self.hooks = self.hooks
            if hook is not None:
                await hook()
        async with super().snapshot() as reader:
            yield reader


async def test_who_looks_for_letters_in_views_that_were_just_dropped_asks_those_that_answer() -> None:
    events, views = MemoryEventStore(shared=True), HookedViewStore(shared=True)
    desk, limits = Desk(), Limits(poll_interval_s=1_000.0)
    application = desk.application(balances(on_poison=PARK))
    async with Bus(application, event_store=events, view_store=views, limits=limits) as bus:
        receipt = await bus.send(Deposit("a"))
        await bus.wait_projected(receipt)
        # The first is that of the handler, the second the one in which it is looked for letters.
        views.hooks = [None, lambda: replace(views)]
        assert await bus.query(Look(), after=receipt) is None
        assert desk.runs == 2


class SlowlyLookingStore(MemoryViewStore):
    """Keeps who looks which builds there are waiting."""

    def __init__(self) -> None:
        super().__init__(shared=True)
        self.gate: anyio.Event | None = None
        self.begun = self.ended = 0

    async def builds(self) -> Sequence[Build]:
        self.begun += 1
        if self.gate is not None:
            await self.gate.wait()
        found = await super().builds()
        self.ended += 1
        return found


@asynccontextmanager
async def dropped_meanwhile(application: Application) -> AsyncGenerator[tuple[Bus, SlowlyLookingStore]]:
    """A bus that does not know yet that others answer, and cannot find out."""
    events, views = MemoryEventStore(shared=True), SlowlyLookingStore()
    limits = Limits(poll_interval_s=1_000.0)
    async with Bus(application, event_store=events, view_store=views, limits=limits) as bus:
        await bus.send(Deposit("a"))
        await bus.wait_settled()
        await anyio.wait_all_tasks_blocked()
        await replace(views)
        views.gate = anyio.Event()
        yield bus, views


@pytest.mark.parametrize("query", [Look(), GetBalance("a")])
async def test_who_gives_up_leaves_the_look_at_builds_that_it_asked_for_undisturbed(
    query: Query[Balance | None],
) -> None:
    async with dropped_meanwhile(Desk().application()) as (bus, views):
        began = views.begun
        with pytest.raises(QueryTimeout):
            await bus.query(query, timeout=1)
        with anyio.move_on_after(1):
            await bus.query(query)
        assert views.gate is not None
        views.gate.set()
        await anyio.sleep(1)
        assert views.begun > began
        assert views.begun == views.ended
        assert await bus.query(query) is None


async def test_who_waits_for_a_look_at_builds_is_told_that_the_bus_is_closed() -> None:
    told: list[BusClosed] = []

    async def wait(lineages: Lineages) -> None:
        try:
            await lineages.refresh()
        except BusClosed as error:
            told.append(error)

    async with anyio.create_task_group() as tasks, dropped_meanwhile(LEDGER) as (bus, _):
        lineages = bus._opened().read.lineages
        tasks.start_soon(wait, lineages)
        await anyio.wait_all_tasks_blocked()
    assert len(told) == 1
    with pytest.raises(BusClosed, match="while other views were looked for"):
        await lineages.refresh()
