"""The audit finds every way in which stores may be wrong, and nothing in sound ones."""

from collections.abc import Sequence

import msgspec
import pytest
from msgspec.structs import replace

from adapters.demo import TRAFFIC
from adapters.demo.audit import FAULTS_MAX, audit
from adapters.demo.poison import Poison
from adapters.flights import FlightRecords, commands, read_flights
from adapters.flights.zones import DATA
from bus import Bus, DeadLetter, MemoryEventStore, MemoryViewStore
from bus.core.stored import Checkpoint, StoredEvent, StoredView, ViewChanges, ViewTable
from domain.flight import Status
from readmodels.departures import DEPARTURES
from readmodels.statuses import STATUSES, StatusCount
from tests.contracts.entries import NOON

RECORDS: FlightRecords = read_flights(DATA / "flights-2013-01-01_07.csv.gz", limit=30)
TABLE = ViewTable(STATUSES.name, STATUSES.version, STATUSES.indexes)


async def played(event_store: MemoryEventStore, view_store: MemoryViewStore) -> None:
    async with Bus(TRAFFIC, event_store=event_store, view_store=view_store) as bus:
        await bus.send_many([one.command for one in commands(RECORDS.flights)])
        await bus.wait_settled()


async def change_views(view_store: MemoryViewStore, put: Sequence[StatusCount], removed: tuple[str, ...] = ()) -> None:
    async with view_store:
        checkpoint = (await view_store.prepare([TABLE]))[TABLE]
        stored = [StoredView(view.status.value, msgspec.json.encode(view), STATUSES.index_values(view)) for view in put]
        assert await view_store.commit(TABLE, ViewChanges(checkpoint, checkpoint, tuple(stored), removed))


@pytest.mark.anyio
async def test_sound_stores_are_found_sound() -> None:
    events, views = MemoryEventStore(), MemoryViewStore()
    await played(events, views)
    found = await audit(TRAFFIC, events, views)
    assert (found.faults, found.views_match, found.lag_events) == ((), True, 0)
    assert found.events == sum(found.by_event.values()) == 90
    assert found.by_event == {"flight-scheduled": 30, "flight-departed": 30, "flight-landed": 30}
    async with Bus(TRAFFIC, event_store=events, view_store=views) as bus:
        assert [event.position async for event in bus.events()] == list(range(1, 91))


@pytest.mark.anyio
async def test_empty_stores_are_sound() -> None:
    found = await audit(TRAFFIC, MemoryEventStore(), MemoryViewStore())
    assert (found.events, found.views, found.faults, found.views_match) == (0, 0, (), True)


@pytest.mark.anyio
async def test_a_view_that_differs_is_found() -> None:
    events, views = MemoryEventStore(), MemoryViewStore()
    await played(events, views)
    await change_views(views, [StatusCount(Status.LANDED, 29)])
    found = await audit(TRAFFIC, events, views)
    assert not found.views_match
    assert found.faults == ("statuses: the view 'landed' is not what the events say",)


@pytest.mark.anyio
async def test_a_view_that_is_missing_is_found() -> None:
    events, views = MemoryEventStore(), MemoryViewStore()
    await played(events, views)
    await change_views(views, [], ("landed",))
    found = await audit(TRAFFIC, events, views)
    assert not found.views_match
    assert found.faults == ("statuses: the store has 2 views, the events make 3",)


@pytest.mark.anyio
async def test_a_view_too_many_is_found() -> None:
    events, views = MemoryEventStore(), MemoryViewStore()
    await played(events, views)
    await change_views(views, [StatusCount(Status.DIVERTED, 0)])
    found = await audit(TRAFFIC, events, views)
    assert not found.views_match
    assert found.faults == ("statuses: the store has more views, the events make 3",)


@pytest.mark.anyio
async def test_views_that_lag_behind_are_found() -> None:
    events, views = MemoryEventStore(), MemoryViewStore()
    await played(events, views)
    async with views:
        checkpoint = (await views.prepare([TABLE]))[TABLE]
        await views.commit(TABLE, ViewChanges(checkpoint, Checkpoint(80, checkpoint.store_id), (), ()))
    assert (await audit(TRAFFIC, events, views)).lag_events == 10


@pytest.mark.anyio
async def test_of_several_builds_the_one_that_answers_is_compared() -> None:
    events, views = MemoryEventStore(), MemoryViewStore()
    await played(events, views)
    other = msgspec.structs.replace(TABLE, build=1)
    async with views:
        at = (await views.prepare([TABLE]))[TABLE]
        await views.build(other, NOON)
        await views.commit(other, ViewChanges(Checkpoint(), at, (), ()))
    assert (await audit(TRAFFIC, events, views)).views_match
    async with views:
        assert await views.switch(other, 0, TABLE, NOON)
    assert (await audit(TRAFFIC, events, views)).faults == ("statuses: the store has 0 views, the events make 3",)


class LossyEventStore(MemoryEventStore):
    """Forgets one event."""

    lost = 31  # The first departure; its landing follows.

    async def page(self, after: int, limit: int) -> Sequence[StoredEvent]:
        return [stored for stored in await super().page(after, limit) if stored.position != self.lost]


@pytest.mark.anyio
async def test_an_event_that_is_gone_is_found() -> None:
    events, views = LossyEventStore(), MemoryViewStore()
    await played(events, views)
    found = await audit(TRAFFIC, events, views)
    assert found.events == 89
    assert "after position 30 comes 32" in found.faults
    assert any(fault.startswith("stream flight-") for fault in found.faults)
    assert len(found.faults) <= FAULTS_MAX


FLIGHT_ID = RECORDS.flights[0].flight_id
BOARDS = ViewTable(DEPARTURES.name, DEPARTURES.version, DEPARTURES.indexes)


async def parked(event_store: MemoryEventStore, view_store: MemoryViewStore) -> list[DeadLetter]:
    """Plays with a flight that is parked from its departure on; its letters, with the last one first."""
    async with Bus(Poison(RECORDS.flights[0]).application(), event_store=event_store, view_store=view_store) as bus:
        await bus.send_many([one.command for one in commands(RECORDS.flights)])
        await bus.wait_settled()
        return [letter async for letter in bus.dead_letters()][::-1]


async def change_letters(view_store: MemoryViewStore, *, put: Sequence[DeadLetter], gone: Sequence[DeadLetter]) -> None:
    async with view_store:
        checkpoint = (await view_store.prepare([BOARDS]))[BOARDS]
        places = tuple([(letter.key, letter.position) for letter in gone])
        assert await view_store.commit(
            BOARDS, ViewChanges(checkpoint, checkpoint, (), (), parked=tuple(put), unparked=places)
        )


@pytest.mark.anyio
async def test_what_is_parked_is_missing_from_its_view_alone() -> None:
    events, views = MemoryEventStore(), MemoryViewStore()
    assert [letter.name for letter in await parked(events, views)] == ["flight-landed", "flight-departed"]
    found = await audit(TRAFFIC, events, views)
    assert (found.faults, found.views_match, found.letters, found.lag_events) == ((), True, 2, 0)


@pytest.mark.anyio
async def test_a_letter_that_is_gone_without_its_event_in_the_view_is_found() -> None:
    events, views = MemoryEventStore(), MemoryViewStore()
    landing, departure = await parked(events, views)
    await change_letters(views, put=(), gone=[departure])
    assert (
        f"departures: the view '{FLIGHT_ID}' is not what the events say" in (await audit(TRAFFIC, events, views)).faults
    )
    await change_letters(views, put=[departure], gone=[landing])
    found = await audit(TRAFFIC, events, views)
    assert not found.views_match
    overtaken = f"departures: the event at position {landing.position} of '{FLIGHT_ID}' overtook one that is parked"
    assert overtaken in found.faults


@pytest.mark.anyio
async def test_a_letter_of_no_event_is_found() -> None:
    events, views = MemoryEventStore(), MemoryViewStore()
    landing, _ = await parked(events, views)
    await change_letters(views, put=[replace(landing, position=91)], gone=())
    found = await audit(TRAFFIC, events, views)
    assert found.faults == (f"departures: '{FLIGHT_ID}' has a letter of position 91, and no event there",)
