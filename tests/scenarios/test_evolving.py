"""Events that outlive their code: what earlier releases recorded is read by everybody, in its place, as today's."""

import pytest

from bus import (
    STOP,
    Application,
    Bus,
    Event,
    Limits,
    MemoryEventStore,
    MemoryViewStore,
    Projection,
    ProjectionStopped,
    Recorded,
    Unreadable,
    View,
)
from bus.core.stored import NewEvent, ViewChanges, ViewTable, table_of
from tests.contracts.entries import NOON, entry
from tests.support.generations import (
    ACCOUNT,
    DEPOSITED_1,
    DEPOSITED_2,
    MOVED,
    OPENED_BY,
    PINGED,
    STATEMENTS,
    TODAY,
    UPCASTERS,
    Account,
    Deposit,
    Deposited,
    GetStatement,
    Opened,
    Statement,
    Withdrawn,
    get_statement,
    record,
)
from tests.support.views import ToldViewStore

HISTORY = (OPENED_BY, PINGED, DEPOSITED_1, DEPOSITED_2, MOVED, PINGED, DEPOSITED_1)
EVENTS: list[tuple[int, Event]] = [
    (1, Opened("ada")),
    (3, Deposited(500, "EUR")),
    (4, Deposited(700, "EUR")),
    (5, Deposited(100, "EUR")),
    (5, Deposited(200, "EUR")),
    (5, Deposited(300, "EUR")),
    (5, Withdrawn(4)),
    (7, Deposited(500, "EUR")),
]
"""What the history is read as, with versions, which are the positions too."""
LINES = [(3, 3, 500), (4, 4, 700), (5, 5, 100), (5, 5, 200), (5, 5, 300), (5, 5, -4), (7, 7, 500)]
BALANCE = 2_296


async def old_store(*, shared: bool = False) -> MemoryEventStore:
    store = MemoryEventStore(shared=shared)
    await record(store, *HISTORY)
    return store


@pytest.mark.parametrize("page", [1, 2, 5, 100])
async def test_an_aggregate_is_recovered_from_old_events_and_goes_on_at_the_stored_version(page: int) -> None:
    store = await old_store()
    async with Bus(TODAY, event_store=store, limits=Limits(recover_events_max=page)) as bus:
        loaded = await bus.load(ACCOUNT, "a")
        assert (loaded.state, loaded.version) == (Account("ada", BALANCE), 7)
        receipt = await bus.send(Deposit("a", 5))
        assert (receipt.version, receipt.position) == (8, 8)
        assert (await bus.load(ACCOUNT, "a")).state == Account("ada", BALANCE + 5)
    async with store:
        assert [event.name for event in await store.page(7, 9)] == ["deposited@3"]


@pytest.mark.parametrize("page", [1, 2, 3, 100])
async def test_a_projection_sees_them_in_their_places_and_goes_on_with_the_feed(page: int) -> None:
    store, views = await old_store(), MemoryViewStore()
    limits = Limits(projection_events_max=page)
    async with Bus(TODAY, event_store=store, view_store=views, limits=limits) as bus:
        receipt = await bus.send(Deposit("a", 5))
        lines = [*LINES, (8, 8, 5)]
        assert await bus.query(GetStatement("a"), after=receipt) == Statement(lines)
        assert bus.statistics().projections[0].events == 8
    # Read anew, what was live then is what is stored now.
    for again in (views, MemoryViewStore()):
        async with Bus(TODAY, event_store=store, view_store=again, limits=limits) as bus:
            await bus.wait_settled()
            assert await bus.query(GetStatement("a")) == Statement(lines)
            assert bus.statistics().projections[0].position == 8


class Fees(View):
    cents: list[int]


def project_fee(view: Fees | None, recorded: Recorded[Withdrawn], key: str) -> Fees:
    return Fees([*(view.cents if view else []), recorded.event.cents])


async def test_a_projection_gets_of_a_split_event_only_what_it_takes() -> None:
    store, views = await old_store(), ToldViewStore()
    fees = Projection(name="fees", version=1, view=Fees, project=project_fee, key=lambda one: "all", on_poison=STOP)
    application = Application(deciders=[ACCOUNT], projections=[fees], upcasters=UPCASTERS)
    async with Bus(application, event_store=store, view_store=views) as bus:
        await bus.wait_settled()
        assert bus.statistics().projections[0].stopped is None
        async with views.snapshot() as reader:
            assert await reader.get(table_of(fees), "all") == b'{"cents":[4]}'


async def test_a_checkpoint_moves_over_what_was_dropped() -> None:
    store = MemoryEventStore()
    await record(store, PINGED, PINGED, PINGED)
    async with Bus(TODAY, event_store=store) as bus:
        await bus.wait_projected(3)
        assert await bus.query(GetStatement("a"), after=3) is None
        assert bus.statistics().projections[0].lag_events == 0


async def test_a_split_event_is_projected_wholly_or_not_at_all_whatever_becomes_of_commits() -> None:
    store, views = await old_store(), ToldViewStore()
    views.faults.extend(["before", "after", "refuse", "late", "before", "after"] * 2)
    limits = Limits(projection_events_max=1)
    async with Bus(TODAY, event_store=store, view_store=views, limits=limits) as bus:
        await bus.wait_settled()
        assert await bus.query(GetStatement("a")) == Statement(LINES)


async def test_a_view_that_the_store_cannot_hold_stops_before_the_event_that_made_it_beside_split_ones_too() -> None:
    class Fussy(ToldViewStore):
        async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
            if any(b"50000" in view.payload for view in changes.put):
                raise ValueError("it cannot be held")
            return await super().commit(table, changes)

    store = MemoryEventStore()
    await record(store, MOVED, NewEvent("deposited", b'{"amount":500}'))
    async with Bus(TODAY, event_store=store, view_store=Fussy()) as bus:
        with pytest.raises(ProjectionStopped, match="position 2: ValueError"):
            await bus.wait_settled()
        assert bus.statistics().projections[0].position == 1


async def test_the_stores_events_are_read_as_todays_from_any_place_of_store_and_stream() -> None:
    store = await old_store()
    async with Bus(TODAY, event_store=store, limits=Limits(page_events_max=2)) as bus:
        for stream in (None, "account-a"):
            for after in range(9):
                read = [(one.version, one.position, one.event) async for one in bus.events(stream, after)]
                assert read == [(place, place, event) for place, event in EVENTS if place > after]


async def test_the_receipt_of_an_old_command_has_its_place_and_todays_events() -> None:
    store = MemoryEventStore()
    command = Deposit("a", 1)
    async with Bus(TODAY, event_store=store) as bus:
        await bus.send(command, command_id="today")
        fingerprint = (await store.page(0, 1))[0].fingerprint
    for command_id, event in (("moved", MOVED), ("pinged", PINGED)):
        async with store:
            version = await store.head()
            one = entry("account-a", version, command_id, [event])
            await store.append([type(one)(one.stream, one.expected_version, one.events, command_id, fingerprint)], NOON)
    async with Bus(TODAY, event_store=store) as bus:
        moved = await bus.send(command, command_id="moved")
        assert (moved.duplicate, moved.version, moved.position) == (True, 2, 2)
        assert moved.events == tuple(event for place, event in EVENTS if place == 5)
        pinged = await bus.send(command, command_id="pinged")
        assert (pinged.duplicate, pinged.version, pinged.position, pinged.events) == (True, 3, 3, ())


async def test_what_an_earlier_release_writes_meanwhile_is_read_as_well() -> None:
    store = await old_store(shared=True)
    async with Bus(TODAY, event_store=store) as bus:
        await bus.wait_settled()
        await record(store, DEPOSITED_1, MOVED, version=7)
        receipt = await bus.send(Deposit("a", 5))
        assert (receipt.version, receipt.position) == (10, 10)
        later = [(8, 8, 500), (9, 9, 100), (9, 9, 200), (9, 9, 300), (9, 9, -4), (10, 10, 5)]
        assert await bus.query(GetStatement("a"), after=receipt) == Statement([*LINES, *later])
        assert (await bus.load(ACCOUNT, "a")).state.cents == BALANCE + 500 + 596 + 5


@pytest.mark.parametrize("place", range(len(UPCASTERS)))
async def test_a_missing_step_is_told_when_the_bus_opens_and_changes_nothing(place: int) -> None:
    store, views = await old_store(), MemoryViewStore()
    incomplete = Application(
        deciders=[ACCOUNT],
        projections=[STATEMENTS],
        query_handlers=[get_statement],
        upcasters=[one for one in UPCASTERS if one is not UPCASTERS[place]],
    )
    lacking = UPCASTERS[place].name
    with pytest.raises(Unreadable, match=f"nothing in this application reads .* {lacking}") as caught:
        async with Bus(incomplete, event_store=store, view_store=views):
            pytest.fail("it was opened")
    assert caught.value.missing == (lacking,)
    # Nothing is held, nothing has changed.
    async with Bus(TODAY, event_store=store, view_store=views) as bus:
        await bus.wait_settled()
        assert await bus.query(GetStatement("a")) == Statement(LINES)


async def test_all_that_is_missing_is_listed() -> None:
    store = await old_store()
    with pytest.raises(Unreadable) as caught:
        async with Bus(Application(deciders=[ACCOUNT]), event_store=store):
            pytest.fail("it was opened")
    assert caught.value.missing == ("deposited", "deposited@2")
    with pytest.raises(Unreadable) as caught:
        async with Bus(Application(deciders=[ACCOUNT], upcasters=UPCASTERS[1:3]), event_store=store):
            pytest.fail("it was opened")
    assert caught.value.missing == ("moved", "opened-by", "pinged")


async def test_a_store_written_by_a_later_release_is_told_when_the_bus_opens() -> None:
    store = MemoryEventStore()
    await record(store, NewEvent("deposited@4", b"{}"))
    with pytest.raises(Unreadable, match="or run the release that wrote them") as caught:
        async with Bus(TODAY, event_store=store):
            pytest.fail("it was opened")
    assert caught.value.missing == ("deposited@4",)


async def test_what_other_applications_record_in_the_same_store_concerns_nobody() -> None:
    store = MemoryEventStore()
    await record(store, NewEvent("painted", b"{}"), stream="wall-1")
    async with Bus(Application(deciders=[ACCOUNT], upcasters=UPCASTERS), event_store=store) as bus:
        assert (await bus.send(Deposit("a", 5))).position == 2


async def test_an_upcaster_that_fails_makes_its_aggregate_unreadable_and_no_other() -> None:
    store = MemoryEventStore()
    await record(store, OPENED_BY, NewEvent("deposited", b'{"amont":5}'))
    await record(store, OPENED_BY, stream="account-b")
    async with Bus(Application(deciders=[ACCOUNT], upcasters=UPCASTERS), event_store=store) as bus:
        with pytest.raises(Unreadable, match="its upcaster from 'deposited' failed: KeyError: 'amount'") as caught:
            await bus.send(Deposit("a", 5))
        assert (caught.value.stream, caught.value.version, caught.value.position) == ("account-a", 2, 2)
        assert (await bus.send(Deposit("b", 5))).version == 2
