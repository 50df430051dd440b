"""Reading while stores fail: whatever happens to a commit or a page, each event reaches the views once."""

from collections.abc import Sequence

import anyio
import anyio.lowlevel
import msgspec
import pytest

from bus import (
    Bus,
    Limits,
    MemoryEventStore,
    ProjectionStopped,
    ProjectionTimeout,
)
from bus.core.stored import StoredEvent, ViewChanges, ViewTable
from tests.support.ledger import (
    JOURNAL,
    Deposit,
    GetBalance,
    Journal,
    WriteNote,
    balances,
    ledger,
    record,
)
from tests.support.projecting import POISON, Brittle, journal_matches, of
from tests.support.telemetry import RecordingTelemetry
from tests.support.views import Fault, ToldViewStore


async def test_telemetry_hears_of_every_event_once_even_where_a_commit_was_uncertain() -> None:
    telemetry = RecordingTelemetry()
    views = ToldViewStore()
    views.faulty = "balances"
    async with Bus(ledger(balances()), view_store=views, telemetry=telemetry) as bus:
        views.faults.extend(["before", "after", "refuse"])
        for _ in range(5):
            await bus.wait_projected(await bus.send(Deposit("a")))
    for name in ("balances", "journal"):
        assert sum([events for projection, events in telemetry.projections if projection == name]) == 5


async def test_an_outage_before_it_takes_no_attempt_from_a_failing_projection() -> None:
    views, brittle = ToldViewStore(), Brittle(times=1)
    async with Bus(ledger(balances(brittle.project)), view_store=views) as bus:
        views.is_down = True
        receipt = await bus.send(Deposit("a", POISON))
        await anyio.sleep(100)
        assert of(bus.statistics()).attempts > 20
        views.is_down = False
        await bus.wait_projected(receipt)
        assert of(bus.statistics()).stopped is None
        assert len(brittle.raised_at) == 1


async def test_a_commit_without_views_that_is_refused_for_its_data_is_an_outage_and_no_poison() -> None:
    class Confused(ToldViewStore):
        refusals = 3

        async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
            if self.refusals and not changes.put:
                self.refusals -= 1
                raise ValueError("there is nothing to refuse")
            return await super().commit(table, changes)

    async with Bus(ledger(balances()), view_store=Confused()) as bus:
        await bus.wait_projected(await bus.send(WriteNote("n")))


async def test_nothing_is_skipped_when_the_sound_part_of_a_batch_must_be_read_again_in_smaller_pages() -> None:
    store, views, brittle = MemoryEventStore(), ToldViewStore(), Brittle(times=1)
    limits = Limits(feed_events_max=10, projection_events_max=10, page_events_max=2, projection_backoff_s=5)
    async with Bus(ledger(balances(brittle.project)), event_store=store, view_store=views, limits=limits) as bus:
        views.faulty = "balances"
        views.faults.append("refuse")
        # One turn of the feed, whose ninth event fails; the commit of the eight before it is refused.
        await bus.send_many([*[Deposit("a")] * 8, Deposit("b", POISON)])
        await anyio.wait_all_tasks_blocked()
        assert brittle.raised_at
        # Meanwhile the feed moves on, and they have to be read from the store, two at a time.
        await bus.send(Deposit("c", times=30))
        await bus.wait_settled()
        a, b = await bus.query(GetBalance("a")), await bus.query(GetBalance("b"))
        assert (a and a.positions, b and b.positions) == (list(range(1, 9)), [9])
        assert of(bus.statistics()).events == 39


FAULTS: list[list[Fault]] = [
    ["refuse"],
    ["before"],
    ["after"],
    ["none", "after", "after", "before", "after", "refuse"],
    ["before", "after"],
    ["late"],
    ["late", "late", "before", "late", "after", "late"],
    ["late", "refuse", "none", "late"],
    ["refuse", "after", "before", "none", "after"],
]


@pytest.mark.parametrize("faults", FAULTS, ids=str)
async def test_a_commit_that_fails_or_is_uncertain_neither_doubles_nor_loses(faults: list[Fault]) -> None:
    store, views = MemoryEventStore(), ToldViewStore()
    views.faulty = "balances"
    limits = Limits(projection_events_max=2)
    async with Bus(ledger(balances()), event_store=store, view_store=views, limits=limits) as bus:
        views.faults.extend(faults)
        for number in range(12):
            await bus.send(Deposit(f"a-{number % 2}"))
        await bus.wait_settled()
        assert not views.faults
        for account in ("a-0", "a-1"):
            balance = await bus.query(GetBalance(account))
            assert balance is not None
            assert balance.positions == [
                event.position for event in await store.page(0, 99) if event.stream == f"account-{account}"
            ]
        found = of(bus.statistics())
        assert (found.events, found.position, found.attempts, found.last_error) == (12, 12, 0, None)
        assert found.batches == len([one for one in views.commits if one[0] == "balances"])


@pytest.mark.parametrize("fault", ["refuse", "before", "after"])
@pytest.mark.parametrize("place", range(4))
async def test_a_bus_that_ends_at_a_failed_commit_goes_on_from_there_when_it_is_opened_again(
    fault: Fault, place: int
) -> None:
    store, views = MemoryEventStore(), ToldViewStore()
    await record(store, *[Deposit(f"a-{number % 3}") for number in range(9)])
    limits = Limits(
        projection_events_max=3, shutdown_timeout_s=0.001, projection_backoff_s=99, projection_backoff_max_s=99
    )
    views.faulty = "journal"
    views.faults.extend([*["none"] * place, fault])  # type: ignore[list-item]
    async with Bus(ledger(balances()), event_store=store, view_store=views, limits=limits):
        await anyio.wait_all_tasks_blocked()
    table = views.kept._tables["journal", 1, 0]
    entries = msgspec.json.decode(table.rows["all"].payload, type=Journal).entries if table.rows else []
    assert len(entries) == table.checkpoint.position == 3 * min(3, place + (fault == "after"))
    async with Bus(ledger(balances()), event_store=store, view_store=views) as bus:
        await bus.wait_settled()
        assert await journal_matches(bus, store)
        for account in ("a-0", "a-1", "a-2"):
            balance = await bus.query(GetBalance(account))
            assert balance is not None
            assert len(balance.positions) == len(set(balance.positions)) == 3


async def test_after_another_bus_moved_the_checkpoint_the_projector_stops_visibly_and_writes_nothing() -> None:
    views = ToldViewStore()
    async with Bus(ledger(balances()), view_store=views) as bus:
        await bus.wait_projected(await bus.send(Deposit("a")))
        views.faulty = "balances"
        views.faults.append("lose")
        receipt = await bus.send(Deposit("a"))
        with pytest.raises(ProjectionStopped, match="changed by somebody else"):
            await bus.wait_projected(receipt, "balances")
        a = await bus.query(GetBalance("a"))
        assert a is not None
        assert a.positions == [1]
        await bus.wait_projected(receipt, JOURNAL)
        assert "somebody else" in (of(bus.statistics()).stopped or "")


async def test_an_uncertain_commit_after_which_somebody_else_moved_the_checkpoint_stops_as_well() -> None:
    class Stolen(ToldViewStore):
        async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
            self.faults.append("lose")
            await super().commit(table, changes)
            raise ConnectionError("lost on the way back")

    async with Bus(ledger(balances()), view_store=Stolen()) as bus:
        receipt = await bus.send(Deposit("a"))
        with pytest.raises(ProjectionStopped, match="changed by somebody else"):
            await bus.wait_projected(receipt)


async def test_while_the_view_store_is_down_the_bus_goes_on_and_the_views_catch_up_later() -> None:
    store, views = MemoryEventStore(), ToldViewStore()
    async with Bus(ledger(balances()), event_store=store, view_store=views) as bus:
        await bus.wait_projected(await bus.send(Deposit("a")))
        views.is_down = True
        for _ in range(5):
            receipt = await bus.send(Deposit("a"))
        with pytest.raises(ProjectionTimeout):
            await bus.wait_projected(receipt, timeout=1_000)
        found = of(bus.statistics())
        assert found.stopped is None
        assert found.attempts > 100
        assert "the view store is down" in (found.last_error or "")
        assert found.lag_events == 5
        views.is_down = False
        await bus.wait_settled()
        assert await journal_matches(bus, store)


async def test_the_event_store_failing_is_no_reason_to_stop() -> None:
    class Flaky(MemoryEventStore):
        failures = 3

        async def page(self, after: int, limit: int) -> Sequence[StoredEvent]:
            if self.failures:
                self.failures -= 1
                raise ConnectionError("no page today")
            return await super().page(after, limit)

    store = Flaky()
    await record(store, Deposit("a"), Deposit("a"))
    async with Bus(ledger(balances()), event_store=store) as bus:
        await bus.wait_settled()
        assert await journal_matches(bus, store)


async def test_a_stored_view_of_an_old_shape_stops_with_the_word_version() -> None:
    store, views = MemoryEventStore(), ToldViewStore()
    async with Bus(ledger(balances()), event_store=store, view_store=views) as bus:
        await bus.wait_projected(await bus.send(Deposit("a")))
    rows = views.kept._tables["balances", 1, 0].rows
    rows["a"] = type(rows["a"])("a", b'{"account": "a"}', rows["a"].index_values)
    async with Bus(ledger(balances()), event_store=store, view_store=views) as bus:
        receipt = await bus.send(Deposit("a"))
        with pytest.raises(ProjectionStopped, match="raise the projection's version"):
            await bus.wait_projected(receipt, "balances")
