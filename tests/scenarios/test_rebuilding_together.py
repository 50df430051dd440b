"""Rebuilt views where others change what there is, or tell of it late: no answer is older than one before."""

from collections.abc import Sequence
from datetime import UTC, datetime

import anyio
import pytest

from bus import Bus, MemoryEventStore, MemoryViewStore
from bus.core.builds import Build
from bus.core.errors import ProjectionStopped, ViewsDropped
from bus.core.letters import Request
from bus.core.stored import Checkpoint, ViewChanges, ViewTable
from tests.scenarios.test_rebuilding import QUICK, fill
from tests.support.building import TurningClock, raised, states_of
from tests.support.ledger import LEDGER, Deposit, GetBalance

OLD, NEW = ViewTable("balances", 1, ("balance", "account")), ViewTable("balances", 2)


class DroppingViewStore(MemoryViewStore):
    """Another process drops the old views just after this one has looked for so many times which there are."""

    looks_left = 0

    async def builds(self) -> Sequence[Build]:
        found = await super().builds()
        self.looks_left -= 1
        if self.looks_left == 0:
            await self.drop(OLD)
        return found


@pytest.mark.parametrize("looks", [1, 2])
async def test_what_was_dropped_while_a_bus_is_opened_is_not_made_anew(looks: int) -> None:
    events, views = MemoryEventStore(), DroppingViewStore()
    await fill(events, views)
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK) as bus:
        await bus.wait_settled()
    async with views:
        assert await states_of(views) == [(1, 0, "replaced"), (2, 0, "answering")]
    views.looks_left = looks
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK) as bus:
        assert await states_of(views) == [(2, 0, "answering")]
        found = await bus.query(GetBalance("a-0"))
        assert found is not None
        assert found.balance == 14


class LateViewStore(MemoryViewStore):
    """Keeps those who look waiting after a switch, and the new views' commits until it is told to let them through."""

    def __init__(self) -> None:
        super().__init__()
        self.is_switched = False
        self.gate = anyio.Event()

    async def switch(self, table: ViewTable, epoch: int, over: ViewTable, since: datetime) -> bool:
        self.is_switched = await super().switch(table, epoch, over, since)
        return self.is_switched

    async def builds(self) -> Sequence[Build]:
        if self.is_switched:
            await anyio.sleep(1)
        return await super().builds()

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        if self.is_switched and table.version == 2:
            await self.gate.wait()
        return await super().commit(table, changes)


async def test_what_answers_by_the_store_is_answered_from_as_soon_as_it_has_what_was_answered_meanwhile() -> None:
    events, views = MemoryEventStore(), LateViewStore()
    await fill(events, views)
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        with anyio.fail_after(10):
            while not views.is_switched:  # noqa: ASYNC110
                await anyio.sleep(0.001)
        # Before this process hears of it, the views before go on, and the new ones cannot.
        receipt = await bus.send(Deposit("a-0"))
        before = await bus.query(GetBalance("a-0"), after=receipt)
        assert before is not None
        assert before.balance == 8
        await anyio.sleep(5)
        again = await bus.query(GetBalance("a-0"))
        assert again == before
        views.gate.set()
        await anyio.sleep(5)
        found = await bus.query(GetBalance("a-0"))
        assert found is not None
        assert (found.balance, found.positions) == (16, before.positions)
        await anyio.sleep(61)
        assert await states_of(views) == [(2, 0, "answering")]


async def test_a_version_that_was_dropped_is_asked_in_vain_to_retry_its_letters() -> None:
    events, views = MemoryEventStore(), MemoryViewStore()
    await fill(events, views)
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK) as bus:
        await bus.wait_settled()
        assert (await bus.ask_projection("balances", "drop")).answer == "version 1 was dropped"
        late = Request(
            id="late",
            projection="balances",
            version=1,
            action="retry",
            key=None,
            position=None,
            reason="",
            asked_at=datetime.now(UTC),
        )
        await views.ask(late)
        await anyio.sleep(5)
        asked = await views.asked("late")
        assert asked is not None
        assert (asked.is_done, asked.answer) == (
            False,
            "the views of version 1 are no longer there, nor are their letters",
        )


async def test_a_process_whose_views_were_dropped_by_the_next_release_rests() -> None:
    events, views = MemoryEventStore(shared=True), MemoryViewStore(shared=True)
    async with Bus(LEDGER, event_store=events, view_store=views) as old:
        await old.send_many([Deposit("a")] * 5)
        await old.wait_settled()
        running = [one.name for one in old.statistics().projections if one.is_here]
        assert "balances" in running
        await _replace(views)
        await anyio.sleep(5)
        assert "balances" not in [one.name for one in old.statistics().projections if one.is_here]
        receipt = await old.send(Deposit("a"))
        with pytest.raises(ProjectionStopped, match="its views were dropped"):
            await old.wait_projected(receipt, "balances")


async def test_a_process_whose_views_were_dropped_makes_no_others_of_that_name_which_it_would_answer_from() -> None:
    events, views = MemoryEventStore(shared=True), MemoryViewStore(shared=True)
    async with Bus(LEDGER, event_store=events, view_store=views) as old:
        receipt = await old.send(Deposit("a"))
        await old.query(GetBalance("a"), after=receipt)
        await _replace(views)
        with pytest.raises(ViewsDropped, match="are no longer there"):
            await old.query(GetBalance("a"))
        asked = await old.ask_projection("balances", "rebuild")
        assert (asked.is_done, asked.answer) == (
            False,
            "the views of version 1 were dropped: open the bus again to build them anew",
        )
        assert await states_of(views) == [(2, 0, "answering")]
        with pytest.raises(ViewsDropped, match="are no longer there"):
            await old.query(GetBalance("a"))


async def _replace(views: MemoryViewStore) -> None:
    """What a process of the next release does."""
    await views.build(NEW, datetime.now(UTC))
    new = (await views.claim([NEW], "another", 60.0))[NEW]
    changes = ViewChanges(Checkpoint(), (await views.known([OLD]))[OLD], (), (), new.epoch)
    assert await views.commit(NEW, changes)
    assert await views.switch(NEW, new.epoch, OLD, datetime.now(UTC))
    assert await views.drop(OLD)
