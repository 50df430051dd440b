"""Audit: what must hold in the stores after a crash, whatever moment it came at; read through the ports alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bus import Application, Projection, Recorded, View
from bus.core.builds import Build, answering
from bus.core.stored import StoredEvent, ViewTable, table_of
from bus.ports import EventStore, ViewStore
from tests.crashes.notes import Answered, Notes

PAGE_EVENTS = 2_000


class _Parts(msgspec.Struct):
    """What each event of the application says of itself."""

    decided_on: int
    part: int
    parts: int


_decode_parts = msgspec.json.Decoder(_Parts).decode


class EventAudit:
    """Reads on from where it ended the last time, since what is recorded stays as it is."""

    def __init__(self) -> None:
        self.events: list[StoredEvent] = []
        self._versions: dict[str, int] = {}
        self._last_of: dict[str, StoredEvent] = {}
        """The last event of each command."""

    async def read(self, store: EventStore) -> None:
        """Raises `AssertionError` where a law of the store does not hold."""
        async with store:
            if self.events:
                # An event that has gone or was replaced.
                assert await store.page(len(self.events) - 1, 1) == self.events[-1:], "recorded events are others now"
            while page := await store.page(len(self.events), PAGE_EVENTS):
                for event in page:
                    self._take(event)
            assert await store.head() == len(self.events)
        if self.events:
            self._check_whole(self.events[-1])

    def _take(self, event: StoredEvent) -> None:
        before = self.events[-1] if self.events else None
        assert event.position == len(self.events) + 1, f"a gap before {event}"
        assert event.version == self._versions.get(event.stream, 0) + 1, f"a gap or a double in its stream: {event}"
        said = _decode_parts(event.payload)
        part = said.part
        assert event.version == said.decided_on + part, f"decided on a state that was not the last: {event}"
        if part == 1:
            assert event.command_id not in self._last_of, f"recorded twice: {event.command_id}"
            if before is not None:
                self._check_whole(before)
        else:
            assert before is not None, "the first of all events has others before it"
            assert before.command_id == event.command_id, f"its command's other events are not before it: {event}"
            assert before.stream == event.stream
            assert _decode_parts(before.payload).part == part - 1
        self._versions[event.stream] = event.version
        self._last_of[event.command_id] = event
        self.events.append(event)

    def _check_whole(self, last: StoredEvent) -> None:
        said = _decode_parts(last.payload)
        assert said.part == said.parts, f"only {said.part} of {said.parts} events are there: {last}"

    def check(self, notes: Notes) -> None:
        """Compares what is recorded with what was acknowledged."""
        for command_id, receipt in notes.acknowledged.items():
            last = self._last_of.get(command_id)
            assert last is not None, f"acknowledged and not there: {receipt}"
            parts = _decode_parts(last.payload).parts
            found = Answered(command_id, last.stream, last.version, last.position, parts)
            assert found == receipt, "acknowledged at another place"
        for command_id in notes.rejected:
            assert command_id not in self._last_of, f"rejected, and recorded all the same: {command_id}"
        strangers = self._last_of.keys() - notes.acknowledged.keys() - notes.open.keys()
        assert not strangers, f"never sent: {strangers}"


async def audit_views(application: Application, events: Sequence[StoredEvent], store: ViewStore) -> Mapping[str, int]:
    """Compares the views with the fold of the events up to their checkpoint; returns the checkpoints by projection."""
    positions: dict[str, int] = {}
    recorded = [one for event in events for one in application.schema.recorded(event)]
    async with store:
        builds = await store.builds()
        tables = {one: _answering(one, builds) for one in application.projections}
        await store.prepare(list(tables.values()))
        for projection, table in tables.items():
            async with store.snapshot() as reader:
                position = positions[projection.name] = (await reader.checkpoint(table)).position
                assert position <= len(events), f"{projection.name} has seen what is not recorded"
                expected = _fold(projection, recorded[:position])
                rows = await reader.find(table, {}, None, False, len(expected) + 1)
            found = [(key, msgspec.json.decode(payload, type=projection.view)) for key, payload in rows]
            assert found == sorted(expected.items()), f"{projection.name} is not the fold"
    return positions


def _answering(projection: Projection[Any, Any], builds: Sequence[Build]) -> ViewTable:
    """Of the builds of the application's version the one that answers."""
    table = table_of(projection)
    found = answering([one for one in builds if one.table.place[:2] == table.place[:2]])
    return table if found is None else msgspec.structs.replace(table, build=found.table.build)


def _fold(projection: Projection[Any, Any], recorded: Sequence[Recorded[Any]]) -> dict[str, View]:
    views: dict[str, View] = {}
    for one in recorded:
        keys = projection.key(one)
        for key in (keys,) if isinstance(keys, str) else keys:
            view = projection.project(views.get(key), one, key)
            assert isinstance(view, View)
            views[key] = view
    return views
