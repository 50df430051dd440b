"""Projector: retries, stops and outages; whatever fails, each event reaches the views once."""

import logging
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest

from bus import (
    Application,
    Bus,
    Limits,
    MemoryEventStore,
    ProjectionStopped,
    Recorded,
    Removed,
)
from bus.core.reports import Failed
from bus.core.stored import Append, NewEvent, ViewChanges, ViewTable
from tests.support.ledger import (
    ACCOUNT,
    LEDGER,
    NOTE,
    AccountEvent,
    Balance,
    Close,
    Deposit,
    GetBalance,
    GetBalances,
    WriteNote,
    balances,
    by_stream,
    ledger,
    project_balance,
    record,
)
from tests.support.projecting import POISON, Brittle, journal_matches, of
from tests.support.telemetry import RecordingTelemetry
from tests.support.views import ToldViewStore


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
        views.let_go("journal")


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
        await bus.send(Deposit("a", 5, times=2), correlation_id="conversation", causation_id="cause")
        await bus.send(Close("a"), command_id="mine")
        await bus.wait_settled()
    async with Bus(ledger(balances(late.project)), event_store=store) as bus:
        await bus.wait_settled()
        recorded = [one async for one in bus.events()]
    assert live.heard == late.heard == recorded
    assert [one.correlation_id for one in live.heard] == ["conversation", "conversation", "mine"]
    assert [one.causation_id for one in live.heard] == ["cause", "cause", None]


async def test_a_passing_failure_costs_nothing() -> None:
    store = MemoryEventStore()
    await record(store, Deposit("a"), Deposit("a", POISON), Deposit("a"), Deposit("b"))
    async with Bus(ledger(balances(Brittle(times=3).project)), event_store=store) as bus:
        await bus.wait_settled()
        a = await bus.query(GetBalance("a"))
        assert a is not None
        assert a.positions == [1, 2, 3]
        assert (of(bus.statistics()).attempts, of(bus.statistics()).last_error) == (0, None)


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


async def test_an_unknown_event_of_ours_stops_after_what_came_before_was_committed() -> None:
    # One that is there when the bus is opened keeps it from opening; this one comes from a later release beside it.
    store = MemoryEventStore(shared=True)
    await record(store, Deposit("a"), Deposit("a"))
    async with Bus(LEDGER, event_store=store) as bus:
        when = (await store.page(0, 1))[0].recorded_at
        await store.append([Append("account-a", 2, (NewEvent("renamed", b"{}"),), "c", b"")], when)
        await bus.send(Deposit("b"))
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


async def test_a_checkpoint_that_somebody_else_set_to_the_very_same_place_stops_as_well() -> None:
    class Twin(ToldViewStore):
        async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
            await self.kept.commit(table, changes)
            return await super().commit(table, changes)

    async with Bus(ledger(balances()), view_store=Twin()) as bus:
        receipt = await bus.send(Deposit("a"))
        with pytest.raises(ProjectionStopped, match="changed by somebody else"):
            await bus.wait_projected(receipt)


async def test_telemetry_hears_of_each_failure_with_the_event_that_made_it() -> None:
    heard: list[Failed] = []

    class Listening(RecordingTelemetry):
        def failed(self, failure: Failed) -> None:
            heard.append(failure)

    views = ToldViewStore()
    brittle = Brittle(times=2)
    async with Bus(ledger(balances(brittle.project)), view_store=views, telemetry=Listening()) as bus:
        receipt = await bus.send(Deposit("a", POISON))
        await bus.wait_projected(receipt)
        views.faulty = "balances"
        views.faults.append("refuse")
        await bus.wait_projected(await bus.send(Deposit("a")))
    assert [(one.part, one.name, one.attempt, one.recorded and one.recorded.command_id) for one in heard] == [
        ("projection", "balances", 1, receipt.command_id),
        ("projection", "balances", 2, receipt.command_id),
        ("projection-store", "balances", 1, None),
    ]


async def test_what_a_store_cannot_keep_is_found_in_a_long_batch_without_holding_up_the_event_loop() -> None:
    folded = 0

    def project(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance:
        nonlocal folded
        folded += 1
        return Balance(key, 1, [float("nan") if recorded.position >= 2 else 1])  # type: ignore[list-item]

    store = MemoryEventStore()
    await record(store, *[Deposit("a")] * 500)
    async with Bus(ledger(balances(project)), event_store=store) as bus:
        with pytest.raises(ProjectionStopped, match="position 2: ValidationError"):
            await bus.wait_settled()
    assert folded < 10_000
