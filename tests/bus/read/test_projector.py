"""Projector: retries, stops and outages; whatever fails, each event reaches the views once."""

import logging
from collections.abc import Callable, Sequence

import anyio
import anyio.lowlevel
import msgspec
import pytest

from bus import (
    Application,
    Bus,
    Limits,
    MemoryEventStore,
    ProjectionStatistics,
    ProjectionStopped,
    ProjectionTimeout,
    Recorded,
    Removed,
    Statistics,
)
from bus.core.stored import Append, NewEvent, StoredEvent, ViewChanges, ViewTable
from bus.runtime.telemetry import NoTelemetry
from tests.support.ledger import (
    ACCOUNT,
    JOURNAL,
    LEDGER,
    NOTE,
    AccountEvent,
    Balance,
    Close,
    Deposit,
    Deposited,
    GetBalance,
    GetBalances,
    GetJournal,
    Journal,
    WriteNote,
    balances,
    by_stream,
    ledger,
    project_balance,
    record,
    stored_entries,
)
from tests.support.views import Fault, ToldViewStore

POISON = 13
"""The amount at which `Brittle` raises."""


class Brittle:
    """A projection of balances that raises at one amount, the first `times` times."""

    def __init__(self, times: float = float("inf")) -> None:
        self.times = times
        self.raised_at: list[float] = []

    def project(self, view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
        if isinstance(recorded.event, Deposited) and recorded.event.amount == POISON and self.times > 0:
            self.times -= 1
            self.raised_at.append(anyio.current_time())
            raise ZeroDivisionError("a bug in project")
        return project_balance(view, recorded, key)


def of(statistics: Statistics, name: str = "balances") -> ProjectionStatistics:
    return next(one for one in statistics.projections if one.name == name)


async def journal_matches(bus: Bus, store: MemoryEventStore) -> bool:
    journal = await bus.query(GetJournal(), after=await store.head())
    return journal is not None and journal.entries == await stored_entries(store)


async def test_views_and_checkpoint_follow_the_store_event_by_event() -> None:
    store = MemoryEventStore()
    async with Bus(LEDGER, event_store=store) as bus:
        for number in range(20):
            await bus.send(Deposit(f"a-{number % 3}", number, times=number % 4))
            await bus.send(WriteNote(f"n-{number % 2}"))
        receipt = await bus.send(Close("a-1"))
        assert await bus.query(GetBalance("a-1"), after=receipt) is None
        assert await journal_matches(bus, store)
        balance = await bus.query(GetBalance("a-2"))
        mine = [event.position for event in await store.page(0, 999) if event.stream == "account-a-2"]
        assert balance is not None
        assert balance.positions == mine
        await bus.wait_settled()
        assert [(one.position, one.lag_events, one.lag_s) for one in bus.statistics().projections] == [
            (await store.head(), 0, 0.0)
        ] * 3


async def test_a_projection_that_raises_is_retried_with_backoff_and_then_stops_visibly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    brittle = Brittle()
    limits = Limits(projection_attempts_max=4, projection_backoff_s=1, projection_backoff_max_s=3)
    async with Bus(ledger(balances(brittle.project)), limits=limits) as bus:
        await bus.send(Deposit("a"))
        await bus.wait_settled()
        receipt = await bus.send(Deposit("a", POISON))
        with caplog.at_level(logging.WARNING, "doubledecker"), pytest.raises(ProjectionStopped) as caught:
            await bus.wait_projected(receipt, "balances")
        start = brittle.raised_at[0]
        assert [moment - start for moment in brittle.raised_at] == pytest.approx([0, 1, 3, 6])
        assert "ZeroDivisionError: a bug in project" in caught.value.reason
        assert [entry.levelname for entry in caplog.records] == ["WARNING"] * 3 + ["ERROR"]
        assert "projection stopped" in caplog.text
        found = of(bus.statistics())
        assert found.stopped == found.last_error == caught.value.reason
        assert (found.position, found.lag_events, found.attempts) == (1, 1, 4)


async def test_when_one_stops_the_others_and_the_write_side_go_on() -> None:
    store = MemoryEventStore()
    async with Bus(ledger(balances(Brittle().project)), event_store=store) as bus:
        await bus.send(Deposit("a", POISON))
        for _ in range(5):
            await bus.send(Deposit("a"))
        with pytest.raises(ProjectionStopped):
            await bus.wait_settled()
        assert await journal_matches(bus, store)
        assert of(bus.statistics(), "journal").stopped is None
        assert of(bus.statistics()).lag_events == 6
        assert await bus.query(GetBalance("a")) is None


@pytest.mark.parametrize("waiting", ["query", "wait_projected", "wait_settled"])
async def test_who_waits_is_told_at_once_when_the_projection_stops(waiting: str) -> None:
    limits = Limits(projection_backoff_s=0.01)
    views = ToldViewStore()
    async with Bus(ledger(balances(Brittle().project)), view_store=views, limits=limits) as bus:
        views.hold("journal")
        receipt = await bus.send(Deposit("a", POISON))
        started = anyio.current_time()
        calls: dict[str, Callable[[], object]] = {
            "query": lambda: bus.query(GetBalance("a"), after=receipt),
            # Both wait for the journal too, which is on its way for much longer.
            "wait_projected": lambda: bus.wait_projected(receipt),
            "wait_settled": bus.wait_settled,
        }
        for _ in range(2):
            with pytest.raises(ProjectionStopped, match="a bug in project"):
                await calls[waiting]()  # type: ignore[misc]
        assert anyio.current_time() - started < 1
        views.release("journal")


async def test_what_comes_before_the_poison_in_the_same_batch_is_committed() -> None:
    store = MemoryEventStore()
    before = [Deposit("a"), Deposit("b"), WriteNote("n"), Deposit("a")]
    await record(store, *before, WriteNote("n"), Deposit("a", POISON), Deposit("b"), Deposit("a"))
    async with Bus(ledger(balances(Brittle().project)), event_store=store) as bus:
        with pytest.raises(ProjectionStopped) as caught:
            await bus.wait_settled()
        assert "stopped at position 6" in str(caught.value)
        found = of(bus.statistics())
        # The note that comes last before it does not concern the balances: so far they are right.
        assert (found.position, found.events, found.batches) == (5, 5, 1)
        await bus.wait_projected(5)
        a, b = await bus.query(GetBalance("a")), await bus.query(GetBalance("b"))
        assert (a and a.positions, b and b.positions) == ([1, 4], [2])


class Eavesdropper:
    """A projection of balances that remembers what it was given."""

    def __init__(self) -> None:
        self.heard: list[Recorded[AccountEvent]] = []

    def project(self, view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
        self.heard.append(recorded)
        return project_balance(view, recorded, key)


async def test_a_projection_is_given_the_same_live_as_from_the_store() -> None:
    store, live, late = MemoryEventStore(), Eavesdropper(), Eavesdropper()
    async with Bus(ledger(balances(live.project)), event_store=store) as bus:
        await bus.send(Deposit("a", 5, times=2), correlation_id="conversation")
        await bus.send(Close("a"), command_id="mine")
        await bus.wait_settled()
    async with Bus(ledger(balances(late.project)), event_store=store) as bus:
        await bus.wait_settled()
        recorded = [one async for one in bus.events()]
    assert live.heard == late.heard == recorded
    assert [one.correlation_id for one in live.heard] == ["conversation", "conversation", "mine"]


async def test_telemetry_hears_of_every_event_once_even_where_a_commit_was_uncertain() -> None:
    heard: list[tuple[str, int, float]] = []

    class Listening(NoTelemetry):
        def projected(self, projection: str, events: int, seconds: float) -> None:
            heard.append((projection, events, seconds))

    views = ToldViewStore()
    views.faulty = "balances"
    async with Bus(ledger(balances()), view_store=views, telemetry=Listening()) as bus:
        views.faults.extend(["before", "after", "refuse"])
        for _ in range(5):
            await bus.wait_projected(await bus.send(Deposit("a")))
    for name in ("balances", "journal"):
        assert sum([events for projection, events, _ in heard if projection == name]) == 5
    assert all(seconds >= 0 for _, _, seconds in heard)


async def test_a_passing_failure_costs_nothing() -> None:
    store = MemoryEventStore()
    await record(store, Deposit("a"), Deposit("a", POISON), Deposit("a"), Deposit("b"))
    async with Bus(ledger(balances(Brittle(times=3).project)), event_store=store) as bus:
        await bus.wait_settled()
        a = await bus.query(GetBalance("a"))
        assert a is not None
        assert a.positions == [1, 2, 3]
        assert (of(bus.statistics()).attempts, of(bus.statistics()).last_error) == (0, None)


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


async def test_an_event_whose_key_cannot_be_computed_stops_there_even_if_an_earlier_one_fails_to_be_folded() -> None:
    def key(recorded: Recorded[AccountEvent]) -> str:
        assert recorded.position != 5, "no key"
        return by_stream(recorded)

    store = MemoryEventStore()
    await record(store, Deposit("a"), Deposit("a"), Deposit("a", POISON), Deposit("a"), Deposit("a"))
    async with Bus(ledger(balances(Brittle(times=2).project, key=key)), event_store=store) as bus:
        with pytest.raises(ProjectionStopped, match="position 5: AssertionError: no key"):
            await bus.wait_settled()
        assert of(bus.statistics()).position == 4


async def test_a_view_that_the_store_cannot_hold_stops_at_the_event_that_made_it() -> None:
    class Fussy(ToldViewStore):
        async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
            if any(b'"balance":113' in view.payload for view in changes.put):
                raise ValueError("113 cannot be held")
            return await super().commit(table, changes)

    for place in range(1, 9):
        store = MemoryEventStore()
        await record(store, *[Deposit(f"a-{n}", 113 if n == place else n) for n in range(1, 9)])
        async with Bus(ledger(balances()), event_store=store, view_store=Fussy()) as bus:
            with pytest.raises(ProjectionStopped, match=f"position {place}: ValueError: 113 cannot be held"):
                await bus.wait_settled()
            assert of(bus.statistics()).position == place - 1
            assert len(await bus.query(GetBalances())) == place - 1


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


async def test_an_unknown_event_of_ours_stops_after_what_came_before_was_committed() -> None:
    store = MemoryEventStore()
    await record(store, Deposit("a"), Deposit("a"))
    async with store:
        when = (await store.page(0, 1))[0].recorded_at
        await store.append([Append("account-a", 2, (NewEvent("renamed", b"{}"),), "c", b"")], when)
    await record(store, Deposit("b"))
    async with Bus(LEDGER, event_store=store) as bus:
        with pytest.raises(ProjectionStopped):
            await bus.wait_projected(4, "journal")
        with pytest.raises(ProjectionStopped) as caught:
            await bus.wait_projected(4, "balances")
        await bus.wait_projected(4, "notes")
        for fact in ("'renamed'", "position 3", "'account-a'", "version 3"):
            assert fact in caught.value.reason
        # Notes take no event of accounts, so what an account's event is called does not concern them.
        found = {one.name: (one.position, one.stopped is None) for one in bus.statistics().projections}
        assert found == {"balances": (2, False), "journal": (2, False), "notes": (4, True)}
        a = await bus.query(GetBalance("a"))
        assert a is not None
        assert a.positions == [1, 2]


async def test_a_payload_that_does_not_decode_stops_only_who_takes_that_event() -> None:
    store = MemoryEventStore()
    await record(store, Deposit("a"))
    async with store:
        when = (await store.page(0, 1))[0].recorded_at
        await store.append([Append("note-n", 0, (NewEvent("note-written", b"{"),), "c", b"")], when)
    async with Bus(LEDGER, event_store=store) as bus:
        for name in ("journal", "notes"):
            with pytest.raises(ProjectionStopped, match="does not decode"):
                await bus.wait_projected(2, name)
        await bus.wait_projected(2, "balances")
        stopped = {one.name: one.stopped is not None for one in bus.statistics().projections}
        assert stopped == {"balances": False, "journal": True, "notes": True}


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
    table = views.kept._tables["journal", 1]
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
    rows = views.kept._tables["balances", 1].rows
    rows["a"] = type(rows["a"])("a", b'{"account": "a"}', rows["a"].index_values)
    async with Bus(ledger(balances()), event_store=store, view_store=views) as bus:
        receipt = await bus.send(Deposit("a"))
        with pytest.raises(ProjectionStopped, match="raise the projection's version"):
            await bus.wait_projected(receipt, "balances")


async def test_a_batch_is_never_larger_than_the_limit() -> None:
    store, views = MemoryEventStore(), ToldViewStore()
    await record(store, Deposit("a", times=50))
    limits = Limits(projection_events_max=7, page_events_max=40)
    async with Bus(ledger(balances()), event_store=store, view_store=views, limits=limits) as bus:
        await bus.wait_settled()
        await bus.wait_projected(await bus.send(Deposit("a", times=50)))
        assert max(views.sizes) == 7


async def test_a_projector_far_behind_leaves_the_event_loop_to_others() -> None:
    store = MemoryEventStore()
    await record(store, Deposit("a", times=100))
    async with Bus(ledger(balances()), event_store=store, limits=Limits(projection_events_max=1)) as bus:
        seen = set[int]()
        while bus.statistics().projections[0].lag_events:
            seen.add(bus.statistics().projections[0].position)
            await anyio.lowlevel.checkpoint()
        assert len(seen) > 10


async def test_an_application_without_projections_has_nothing_to_wait_for() -> None:
    async with Bus(Application(deciders=[ACCOUNT, NOTE], query_handlers=[])) as bus:
        receipt = await bus.send(Deposit("a"))
        await bus.wait_projected(receipt)
        await bus.wait_settled()
        assert bus.statistics().projections == ()
