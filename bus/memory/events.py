"""The event store in memory: the shortest correct one; it refuses exactly what the stores on SQL refuse."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import uuid4

from bus.core.names import category_of
from bus.core.stored import (
    AlreadyRecorded,
    Append,
    Appended,
    History,
    Refusal,
    Snapshot,
    Stale,
    StoredEvent,
    Unstorable,
    entry_fault,
)
from bus.memory.opened import Opened


class MemoryEventStore(Opened):
    """Events in a list. `shared=True` lets several buses use one object at a time, as processes share a server."""

    appends_at_once = 1

    def __init__(self, *, shared: bool = False) -> None:
        super().__init__()
        self.shared = shared
        self.identity = str(uuid4())
        self._log: list[Append] = []
        """The event at position p is at p - 1: the entry that recorded it, once for each of its events."""
        self._streams: dict[str, list[int]] = {}
        """The event of version v is at index v - 1 of its stream's list, which holds indexes into the log."""
        self._snapshots: dict[str, Snapshot] = {}
        self._commands: dict[str, int] = {}
        """Where in the log a command's first event is; the others follow it."""
        self._batches: list[tuple[int, datetime]] = []
        """Where in the log each batch with events begins, and when it was recorded."""

    async def append(self, batch: Sequence[Append], recorded_at: datetime) -> Appended:
        self.check_open()
        recorded_at = recorded_at.astimezone(UTC)
        log, streams, commands = self._log, self._streams, self._commands
        position_before = len(log)
        self._batches.append((position_before, recorded_at))
        refused: dict[int, Refusal] = {}
        broken: set[str] = set()
        place = position_before
        for index, entry in enumerate(batch):
            stream, command_id, events = entry.stream, entry.command_id, entry.events
            places = streams.get(stream)
            version = len(places) if places is not None else 0
            if (fault := entry_fault(entry)) is not None:
                refusal: Refusal = Unstorable(fault)
            elif command_id in commands:
                refusal = self._already_recorded(command_id)
            elif version != entry.expected_version or (broken and stream in broken):
                refusal = Stale(version)
            else:
                if events:
                    if places is None:
                        places = streams[stream] = []
                    commands[command_id] = place
                    for _ in events:
                        places.append(place)
                        log.append(entry)
                        place += 1
                continue
            refused[index] = refusal
            broken.add(stream)
        if place == position_before:
            # A bus that is asked the same again and again must not grow by it.
            self._batches.pop()
        return Appended(position_before, refused)

    async def head(self) -> int:
        self.check_open()
        return len(self._log)

    async def names(self) -> Mapping[str, str]:
        self.check_open()
        return {event.name: category_of(entry.stream) for entry in reversed(self._log) for event in entry.events}

    async def page(self, after: int, limit: int) -> Sequence[StoredEvent]:
        self.check_open()
        return [self._stored(place) for place in range(after, min(after + limit, len(self._log)))]

    async def stream_pages(self, after: Mapping[str, int], limit: int) -> Sequence[StoredEvent]:
        self.check_open()
        found: list[StoredEvent] = []
        for stream, version in after.items():
            places = self._streams.get(stream, [])
            found += [self._stored(place) for place in places[version : version + limit - len(found)]]
        return found

    async def histories(
        self, after: Mapping[str, int], limit: int, snapshots: Mapping[str, str] | None = None
    ) -> Sequence[History]:
        begin = {
            stream: held
            for stream, form in (snapshots or {}).items()
            if (held := self._snapshots.get(stream)) and held.format == form and held.version > after[stream]
        }
        after = {**after, **{stream: snapshot.version for stream, snapshot in begin.items()}}
        found: dict[str, list[tuple[str, bytes]]] = {stream: [] for stream in begin}
        for stored in await self.stream_pages(after, limit):
            found.setdefault(stored.stream, []).append((stored.name, stored.payload))
        return [
            History(stream, after[stream] + len(events), tuple(events), begin.get(stream))
            for stream, events in found.items()
        ]

    async def save_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        self.check_open()
        for one in snapshots:
            held = self._snapshots.get(one.stream)
            if one.stream in self._streams and (not held or held.format != one.format or held.version <= one.version):
                self._snapshots[one.stream] = one

    async def find_commands(self, command_ids: Iterable[str]) -> Mapping[str, AlreadyRecorded]:
        self.check_open()
        return {one: self._already_recorded(one) for one in command_ids if one in self._commands}

    def _already_recorded(self, command_id: str) -> AlreadyRecorded:
        first = self._commands[command_id]
        entry = self._log[first]
        return AlreadyRecorded(tuple([self._stored(place) for place in range(first, first + len(entry.events))]))

    def _stored(self, place: int) -> StoredEvent:
        entry = self._log[place]
        ordinal = place - self._commands[entry.command_id]
        batch = bisect_right(self._batches, place, key=lambda batch: batch[0]) - 1
        return StoredEvent(
            position=place + 1,
            stream=entry.stream,
            version=entry.expected_version + ordinal + 1,
            name=entry.events[ordinal].name,
            payload=entry.events[ordinal].payload,
            recorded_at=self._batches[batch][1],
            command_id=entry.command_id,
            fingerprint=entry.fingerprint,
            correlation_id=entry.correlation_id,
            causation_id=entry.causation_id,
            traceparent=entry.traceparent,
        )
