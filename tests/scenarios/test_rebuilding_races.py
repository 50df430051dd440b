"""Builds are switched, dropped and asked for while something else happens: another build, a failure, a crash."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import anyio
import pytest

from bus import PARK, Application, Bus, Limits, MemoryEventStore, MemoryViewStore, Projection, Recorded, Removed, cached
from bus.core.errors import Parked, StoreUnavailable
from bus.core.letters import Request
from bus.core.stored import Checkpoint, Claim, ViewChanges, ViewTable
from bus.memory.views import MemoryViewReader
from tests.scenarios.test_rebuilding import QUICK, fill, rebuilding
from tests.support.building import (
    HeldViewStore,
    TurningClock,
    builds_of,
    raised,
    request_for,
    states_of,
)
from tests.support.ledger import (
    ACCOUNT,
    BALANCES,
    JOURNAL,
    LEDGER,
    NOTE,
    AccountEvent,
    Balance,
    Deposit,
    Deposited,
    GetBalance,
    balances,
    by_stream,
    get_balance,
    project_balance,
)

BACK = [(1, 0, "answering"), (2, 0, "replaced")]
"""Version 2 has answered, and version 1 does again."""


def superstitious(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
    if isinstance(recorded.event, Deposited) and recorded.event.amount == 13:
        raise ZeroDivisionError("a bug")
    return project_balance(view, recorded, key)


class ForgetfulViewStore(HeldViewStore):
    """Does not keep answers at first, or not at all."""

    refused = 0
    is_hanging = False

    async def answer(self, request: Request) -> None:
        if self.is_hanging:
            await anyio.sleep_forever()
        if self.refused:
            self.refused -= 1
            raise StoreUnavailable("busy", store=self.url)
        await super().answer(request)


async def test_a_switch_whose_answer_cannot_be_kept_at_first_is_carried_out_once() -> None:
    events, views = MemoryEventStore(), ForgetfulViewStore()
    views.gate.set()
    await fill(events, views)
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        await bus.wait_settled()
        views.refused = 1
        asked = await bus.ask_projection("balances", "switch")
        assert (asked.is_done, asked.answer) == (True, "version 1 answers now")
        assert await states_of(views) == BACK


async def test_a_switch_whose_process_ended_before_its_answer_was_kept_is_not_undone() -> None:
    events, views, request = MemoryEventStore(), ForgetfulViewStore(), request_for("switch", version=2)
    views.gate.set()
    await fill(events, views)
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        await bus.wait_settled()
    views.is_hanging = True
    async with views:
        await views.ask(request)
    await anyio.sleep(1)
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()):
        await anyio.sleep(1)
        assert await states_of(views) == BACK
    views.is_hanging = False
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()):
        await anyio.sleep(1)
        assert await states_of(views) == BACK
        answered = await views.asked(request.id)
        assert answered is not None
        assert (answered.is_done, answered.answer) == (True, "version 1 answers now")


class SlowDeskViewStore(HeldViewStore):
    """Lets what is being built through between a request and the process that is to carry it out."""

    is_slow = False

    async def requests(self, *, is_open: bool, limit: int) -> Sequence[Request]:
        found = await super().requests(is_open=is_open, limit=limit)
        if found and self.is_slow:
            self.is_slow = False
            await anyio.sleep(0.1)
            self.gate.set()
            await anyio.sleep(0.5)
        return found


async def test_a_build_that_came_to_answer_by_itself_since_a_switch_was_asked_for_goes_on_answering() -> None:
    events, views = MemoryEventStore(), SlowDeskViewStore()
    await fill(events, views)
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        await anyio.sleep(3)
        views.is_slow = True
        asked = await bus.ask_projection("balances", "switch")
        assert (asked.is_done, asked.answer) == (True, "version 2 answers now")
        await bus.wait_settled()
        assert await states_of(views) == [(1, 0, "replaced"), (2, 0, "answering")]


class StaleDeskViewStore(HeldViewStore):
    """Takes a while to keep an answer, and longer to give the requests that were open before."""

    async def answer(self, request: Request) -> None:
        await anyio.sleep(0.1)
        await super().answer(request)

    async def requests(self, *, is_open: bool, limit: int) -> Sequence[Request]:
        found = await super().requests(is_open=is_open, limit=limit)
        await anyio.sleep(0.2)
        return found


async def test_a_request_that_is_read_while_it_is_being_answered_is_not_carried_out_again() -> None:
    events, views = MemoryEventStore(), StaleDeskViewStore()
    await fill(events, views)
    limits = Limits(replaced_grace_s=60.0, poll_interval_s=0.001)
    async with Bus(raised(), event_store=events, view_store=views, limits=limits, clock=TurningClock()) as bus:
        views.gate.set()
        await bus.wait_settled()
        rebuilt = await bus.ask_projection("balances", "rebuild")
        assert rebuilt.is_done
        await anyio.sleep(5)
        assert [build for version, build, _ in await states_of(views) if version == 2] == [0, 1]


class HeldBuildViewStore(MemoryViewStore):
    """Keeps the commits of one build waiting."""

    def __init__(self, version: int, build: int) -> None:
        super().__init__()
        self.gate = anyio.Event()
        self._held = version, build

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        if (table.version, table.build) == self._held:
            await self.gate.wait()
        return await super().commit(table, changes)


async def test_a_rebuild_of_the_version_before_does_not_take_the_place_of_the_next() -> None:
    events, views = MemoryEventStore(), HeldBuildViewStore(1, 1)
    await fill(events, views)
    async with Bus(LEDGER, event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        await bus.ask_projection("balances", "rebuild")
        assert await states_of(views) == [(1, 0, "answering"), (1, 1, "building")]
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        await anyio.sleep(5)
        views.gate.set()
        await anyio.sleep(5)
        assert await states_of(views) == [(1, 0, "replaced"), (2, 0, "answering")]
        found = await bus.query(GetBalance("a-0"))
        assert found is not None
        assert found.balance == 14


async def test_what_the_version_before_parks_is_told_while_it_answers() -> None:
    events, views = MemoryEventStore(), HeldViewStore()
    await fill(events, views)
    application = raised(balances(superstitious, on_poison=PARK))
    async with Bus(application, event_store=events, view_store=views) as bus:
        receipt = await bus.send(Deposit("a-0", 13))
        with pytest.raises(Parked, match="has parked the event at position 21"):
            await bus.wait_projected(receipt, "balances")
        with pytest.raises(Parked, match="has parked the event at position 21"):
            await bus.query(GetBalance("a-0"), after=receipt)


class HookedViewStore(HeldViewStore):
    """Does something once, when the second snapshot from now on has ended."""

    hook: Callable[[], Awaitable[None]] | None = None
    _ended = 0

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[MemoryViewReader]:
        async with super().snapshot() as reader:
            yield reader
        self._ended += self.hook is not None
        if self.hook is not None and self._ended == 2:
            hook, self.hook = self.hook, None
            await hook()


async def test_a_cached_answer_is_not_from_a_build_that_has_parked_what_was_asked_for() -> None:
    events, views = MemoryEventStore(), HookedViewStore()
    await fill(events, views)
    projection = Projection(
        name="balances",
        version=2,
        view=Balance,
        project=superstitious,
        key=by_stream,
        on_poison=PARK,
        previous=BALANCES,
    )
    application = Application(
        deciders=[ACCOUNT, NOTE], projections=[projection, JOURNAL], query_handlers=[cached(get_balance)]
    )
    async with Bus(application, event_store=events, view_store=views) as bus:
        receipt = await bus.send(Deposit("a-0", 13))
        await bus.wait_projected(receipt, "balances")

        async def let_the_other_answer() -> None:
            views.gate.set()
            await anyio.sleep(10)

        # The first is that of the handler, the second that in which version 1 is found to have parked nothing.
        views.hook = let_the_other_answer
        with pytest.raises(Parked, match="has parked the event at position 21"):
            await bus.query(GetBalance("a-0"), after=receipt)


class UnclaimedViewStore(MemoryViewStore):
    """Refuses claims at first."""

    refused = 0

    async def claim(self, tables: Sequence[ViewTable], owner: str, lease_s: float) -> Mapping[ViewTable, Claim]:
        if self.refused:
            self.refused -= 1
            raise StoreUnavailable("busy", store=self.url)
        return await super().claim(tables, owner, lease_s)


async def test_a_build_that_cannot_be_claimed_at_first_is_built_all_the_same_and_once() -> None:
    events, views = MemoryEventStore(), UnclaimedViewStore()
    await fill(events, views)
    async with Bus(LEDGER, event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        views.refused = 2
        assert (await bus.ask_projection("balances", "rebuild")).is_done
        await anyio.sleep(30)
        assert await states_of(views) == [(1, 0, "replaced"), (1, 1, "answering")]


class DroppingViewStore(HeldViewStore):
    """Drops a table, as another process does, just when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.victims: list[ViewTable] = []

    async def prepare(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        await self._drop_among(tables)
        return await super().prepare(tables)

    async def known(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        await self._drop_among(tables)
        return await super().known(tables)

    async def build(self, table: ViewTable, since: datetime) -> None:
        await self._drop_among([table])
        await super().build(table, since)

    async def _drop_among(self, tables: Sequence[ViewTable]) -> None:
        for victim in [table for table in self.victims if table in tables]:
            self.victims.remove(victim)
            assert await self.drop(victim)


async def test_a_build_that_is_dropped_while_it_is_found_does_not_come_back_to_answer() -> None:
    events, views = MemoryEventStore(), DroppingViewStore()
    await fill(events, views)
    async with Bus(LEDGER, event_store=events, view_store=views, limits=QUICK) as bus:
        await bus.ask_projection("balances", "rebuild")
        views.victims = [(await builds_of(views))[-1].table]
    for _ in range(2):
        async with Bus(LEDGER, event_store=events, view_store=views, limits=QUICK) as bus:
            assert not views.victims
            found = await bus.query(GetBalance("a-0"))
            assert found is not None
            assert found.balance == 7


async def test_nothing_goes_on_of_a_build_that_was_dropped() -> None:
    def tasks() -> list[str]:
        return [one.name for one in anyio.get_running_tasks() if one.name is not None and "version 2" in one.name]

    async with rebuilding() as (bus, _):
        await anyio.sleep(2)
        assert len(tasks()) == 2
        await bus.ask_projection("balances", "drop")
        await anyio.sleep(5)
        assert tasks() == []


class BusyViewStore(MemoryViewStore):
    """Balances are read all the time, so that none can be dropped."""

    async def drop(self, table: ViewTable) -> bool:
        if table.projection == "balances":
            raise StoreUnavailable("somebody reads it", store=self.url)
        return await super().drop(table)


async def test_views_that_cannot_be_dropped_keep_no_other_projection_from_being_rebuilt() -> None:
    events, views = MemoryEventStore(), BusyViewStore()
    await fill(events, views)
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        await bus.wait_settled()
        await anyio.sleep(70)
        assert await states_of(views) == [(1, 0, "replaced"), (2, 0, "answering")]
        assert (await bus.ask_projection("journal", "rebuild")).is_done
        await anyio.sleep(5)
        assert await states_of(views, "journal") == [(1, 0, "replaced"), (1, 1, "answering")]


async def test_a_process_answers_from_others_at_the_first_question_after_its_views_were_dropped() -> None:
    events, views = MemoryEventStore(shared=True), HeldViewStore(shared=True)
    async with Bus(LEDGER, event_store=events, view_store=views) as one:
        await one.send_many([Deposit("a")] * 5)
        await one.wait_projected(5)
        await one.ask_projection("balances", "rebuild")
        slow = Limits(poll_interval_s=1_000.0)
        async with Bus(LEDGER, event_store=events, view_store=views, limits=slow) as other:
            views.gate.set()
            await one.wait_settled()
            await one.ask_projection("balances", "drop")
            assert await states_of(views) == [(1, 1, "answering")]
            found = await other.query(GetBalance("a"))
            assert found is not None
            assert found.balance == 5
