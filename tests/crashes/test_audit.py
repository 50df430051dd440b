"""The audit of a crashed store finds what it is there to find."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import anyio
import msgspec
import pytest

from bus import Bus, MemoryEventStore
from bus.core.stored import Checkpoint, StoredEvent, StoredView, ViewChanges, ViewTable
from tests.crashes.audit import EventAudit, audit_views
from tests.crashes.jars import JARS, Fill
from tests.crashes.notes import Answered, Notes
from tests.support.sql_views import ToldSqlViewStore

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
Damage = Callable[[list[StoredEvent]], Any]


class ListedEvents(MemoryEventStore):
    """Gives the events that it is told, whatever the laws of stores say."""

    def __init__(self, events: Sequence[StoredEvent]) -> None:
        super().__init__()
        self.events = list(events)

    async def head(self) -> int:
        return len(self.events)

    async def page(self, after: int, limit: int) -> Sequence[StoredEvent]:
        return self.events[after : after + limit]


def _event(
    position: int, stream: str, version: int, command_id: str, of: tuple[int, int] = (1, 1), *, late: int = 0
) -> StoredEvent:
    """`late` is how many events were recorded in its stream after it was decided and before it was recorded."""
    part, parts = of
    said = {"weight": 1, "decided_on": version - part - late, "part": part, "parts": parts}
    payload = msgspec.json.encode({"$type": "filled", **said})
    return StoredEvent(position, stream, version, "filled", payload, NOON, command_id, b"")


def _whole() -> list[StoredEvent]:
    return [
        _event(1, "jar-a", 1, "c-1"),
        _event(2, "jar-a", 2, "c-2", (1, 2)),
        _event(3, "jar-a", 3, "c-2", (2, 2)),
        _event(4, "jar-b", 1, "c-3"),
    ]


def _read(*states: Sequence[StoredEvent]) -> EventAudit:
    """An audit that looked at the store in each of these states."""
    audit = EventAudit()
    for events in states:
        anyio.run(audit.read, ListedEvents(events))
    return audit


def _noted() -> Notes:
    notes = Notes()
    for receipt in (
        Answered("c-1", "jar-a", 1, 1, 1),
        Answered("c-2", "jar-a", 3, 3, 2),
        Answered("c-3", "jar-b", 1, 4, 1),
    ):
        notes.acknowledged[receipt.command_id] = receipt
    return notes


def test_a_store_that_is_whole_is_found_whole() -> None:
    _read(_whole()[:3], _whole()).check(_noted())


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([*_whole()[:3], _event(5, "jar-b", 1, "c-3")], "a gap before"),
        ([*_whole()[:3], _event(4, "jar-b", 2, "c-3")], "a gap or a double in its stream"),
        ([*_whole()[:3], _event(4, "jar-a", 3, "c-3")], "a gap or a double in its stream"),
        ([*_whole(), _event(5, "jar-a", 4, "c-1")], "recorded twice"),
        ([*_whole()[:3], _event(4, "jar-a", 4, "c-3", late=1)], "decided on a state that was not the last"),
        (_whole()[:2], "only 1 of 2 events"),
        ([*_whole()[:2], _event(3, "jar-b", 1, "c-3")], "only 1 of 2 events"),
        ([_whole()[0], _event(2, "jar-a", 2, "c-2", (2, 2))], "other events are not before it"),
    ],
)
def test_a_store_that_breaks_a_law_is_found(events: list[StoredEvent], found: str) -> None:
    with pytest.raises(AssertionError, match=found):
        _read(events)


def test_events_that_change_between_two_looks_are_found() -> None:
    with pytest.raises(AssertionError, match="others now"):
        _read(_whole(), [*_whole()[:3], _event(4, "jar-c", 1, "c-3")])


def test_what_was_acknowledged_and_is_not_there_is_found() -> None:
    with pytest.raises(AssertionError, match="acknowledged and not there"):
        _read(_whole()[:3]).check(_noted())


def test_what_was_acknowledged_at_another_place_is_found() -> None:
    notes = _noted()
    notes.acknowledged["c-3"] = Answered("c-3", "jar-b", 1, 5, 1)
    with pytest.raises(AssertionError, match="another place"):
        _read(_whole()).check(notes)


def test_what_was_rejected_or_never_sent_and_is_recorded_is_found() -> None:
    notes = _noted()
    notes.rejected.add("c-3")
    with pytest.raises(AssertionError, match="rejected, and recorded"):
        _read(_whole()).check(notes)
    with pytest.raises(AssertionError, match="never sent"):
        _read([*_whole(), _event(5, "jar-b", 2, "c-4")]).check(_noted())


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def _filled() -> tuple[MemoryEventStore, ToldSqlViewStore]:
    events, views = MemoryEventStore(), ToldSqlViewStore()
    async with Bus(JARS, event_store=events, view_store=views) as bus:
        await bus.send_many([Fill("a", [1, 2]), Fill("b", [3])])
    return events, views


ENDS = {"jars": 3, "shelves": 3, "rows": 3}


async def test_views_are_compared_as_far_as_they_have_come() -> None:
    events, views = await _filled()
    async with events:
        recorded = await events.page(0, 99)
    assert await audit_views(JARS, recorded, views) == ENDS
    assert await audit_views(JARS, [*recorded, _event(4, "jar-a", 3, "c-9")], views) == ENDS
    with pytest.raises(AssertionError, match="what is not recorded"):
        await audit_views(JARS, recorded[:2], views)


async def test_of_several_builds_the_one_that_answers_is_compared() -> None:
    events, views = await _filled()
    table, other = ViewTable("jars", 1, ("weight",)), ViewTable("jars", 1, ("weight",), 1)
    async with events, views:
        recorded = await events.page(0, 99)
        await views.build(other, NOON)
        here = (await views.prepare([table]))[table]
        await views.commit(other, ViewChanges(Checkpoint(), here, (), ()))
    assert await audit_views(JARS, recorded, views) == {"jars": 3, "shelves": 3, "rows": 3}
    async with views:
        assert await views.switch(other, 0, table, NOON)
    with pytest.raises(AssertionError, match="jars is not the fold"):
        await audit_views(JARS, recorded, views)


@pytest.mark.parametrize("key", ["a", "z"])
async def test_views_that_are_not_the_fold_are_found(key: str) -> None:
    events, views = await _filled()
    table = ViewTable("jars", 1, ("weight",))
    async with events, views:
        recorded = await events.page(0, 99)
        here: Checkpoint = (await views.prepare([table]))[table]
        wrong = StoredView(key, b'{"weight":9,"versions":2,"version":2}', (9,))
        assert await views.commit(table, ViewChanges(here, here, (wrong,), ()))
    with pytest.raises(AssertionError, match="jars is not the fold"):
        await audit_views(JARS, recorded, views)


@pytest.mark.parametrize(
    "wrong", ["INSERT INTO jar_rows VALUES (2, 'jar-a', 2)", "DELETE FROM jar_rows WHERE position = 2"]
)
async def test_rows_that_are_not_the_events_are_found(wrong: str) -> None:
    events, views = await _filled()
    async with events:
        recorded = await events.page(0, 99)
    views.user.database.execute(wrong)
    with pytest.raises(AssertionError, match="rows are not the events"):
        await audit_views(JARS, recorded, views)
