"""The in-memory stores: the shortest correct ones; they refuse exactly what the stores on SQL refuse."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from uuid import uuid4

import anyio

from bus.core.errors import StoreInUse, StoreUnavailable
from bus.core.finding import Place, Where, holds, rank
from bus.core.letters import DeadLetter, Request
from bus.core.names import category_of
from bus.core.projection import Index, IndexValue
from bus.core.stored import (
    AlreadyRecorded,
    Append,
    Appended,
    Checkpoint,
    Claim,
    History,
    Refusal,
    Snapshot,
    Stale,
    StoredEvent,
    StoredView,
    Unstorable,
    ViewChanges,
    ViewTable,
    entry_fault,
    not_indexable,
    other_indexes,
    view_fault,
)


class _Opened:
    """What both stores share: they are used inside `async with`, by one bus at a time, and keep their content."""

    url = "memory:"
    shared = False

    def __init__(self) -> None:
        self._users = 0

    async def __aenter__(self) -> Self:
        if self._users and not self.shared:
            raise StoreInUse(f"another bus uses this {type(self).__name__}: close it first", store=self.url)
        self._users += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._users -= 1

    def _check_open(self) -> None:
        if not self._users:
            raise StoreUnavailable(
                f"this {type(self).__name__} is not open: use it inside `async with`", store=self.url
            )


class MemoryEventStore(_Opened):
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
        self._check_open()
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
        self._check_open()
        return len(self._log)

    async def names(self) -> Mapping[str, str]:
        self._check_open()
        return {event.name: category_of(entry.stream) for entry in reversed(self._log) for event in entry.events}

    async def page(self, after: int, limit: int) -> Sequence[StoredEvent]:
        self._check_open()
        return [self._stored(place) for place in range(after, min(after + limit, len(self._log)))]

    async def stream_pages(self, after: Mapping[str, int], limit: int) -> Sequence[StoredEvent]:
        self._check_open()
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
        self._check_open()
        for one in snapshots:
            held = self._snapshots.get(one.stream)
            if one.stream in self._streams and (not held or held.format != one.format or held.version <= one.version):
                self._snapshots[one.stream] = one

    async def find_commands(self, command_ids: Iterable[str]) -> Mapping[str, AlreadyRecorded]:
        self._check_open()
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


@dataclass
class _Views:
    """One committed state of a table; while somebody reads it, the next commit works on a copy."""

    indexes: tuple[Index, ...]
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    rows: dict[str, StoredView] = field(default_factory=dict[str, StoredView])
    letters: dict[tuple[int, str], DeadLetter] = field(default_factory=dict[tuple[int, str], DeadLetter])
    """By position and key."""
    owner: str = ""
    epoch: int = 0
    lapses_at: float = -math.inf
    readers: int = 0


class MemoryViewStore(_Opened):
    """Views in dictionaries, one for each version of a projection. `shared=True` as in `MemoryEventStore`."""

    def __init__(self, *, shared: bool = False) -> None:
        super().__init__()
        self.shared = shared
        self._tables: dict[tuple[str, int], _Views] = {}
        self._requests: dict[str, Request] = {}

    async def prepare(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        self._check_open()
        for table in tables:
            self._tables.setdefault((table.projection, table.version), _Views(table.indexes))
        return {table: self._tables[table.projection, table.version].checkpoint for table in tables}

    async def reindex(
        self, table: ViewTable, values_of: Callable[[bytes], tuple[IndexValue, ...]], views_max: int
    ) -> None:
        self._check_open()
        held = self._tables[table.projection, table.version]
        if held.indexes == table.indexes:
            return
        rows = {key: StoredView(key, row.payload, values_of(row.payload)) for key, row in held.rows.items()}
        for view in rows.values():
            if (fault := view_fault(view)) is not None:
                raise not_indexable(table, view.key, f"it is {fault}", self.url)
        self._tables[table.projection, table.version] = replace(
            held, indexes=table.indexes, rows=rows, owner="", lapses_at=-math.inf, readers=0
        )

    async def claim(self, tables: Sequence[ViewTable], owner: str, lease_s: float) -> Mapping[ViewTable, Claim]:
        self._check_open()
        now = anyio.current_time()
        found: dict[ViewTable, Claim] = {}
        for table in tables:
            views = self._tables[table.projection, table.version]
            if views.indexes != table.indexes:
                # Indexed anew by another release, which alone can project them now.
                found[table] = Claim("", 0, views.checkpoint)
                continue
            if views.owner == owner or views.lapses_at <= now or not self.shared:
                views.epoch += views.owner != owner
                views.owner = owner
                views.lapses_at = now + lease_s
            found[table] = Claim(views.owner, views.epoch, views.checkpoint)
        return found

    async def release(self, tables: Sequence[ViewTable], owner: str) -> None:
        self._check_open()
        for views in [self._tables[table.projection, table.version] for table in tables]:
            if views.owner == owner:
                views.owner, views.lapses_at = "", -math.inf

    async def load(self, table: ViewTable, keys: Sequence[str]) -> Mapping[str, bytes]:
        self._check_open()
        rows = self._views(table).rows
        return {key: rows[key].payload for key in keys if key in rows}

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        self._check_open()
        for view in changes.put:
            if (fault := view_fault(view)) is not None:
                raise ValueError(f"a view of {table.projection!r} cannot be kept, key or index is {fault}")
        views = self._views(table)
        if views.checkpoint != changes.expected or (self.shared and views.epoch != changes.epoch):
            return False
        if any((position, key) not in views.letters for key, position in changes.unparked):
            return False
        if views.readers:
            views = replace(views, rows=dict(views.rows), letters=dict(views.letters), readers=0)
            self._tables[table.projection, table.version] = views
        for key in changes.removed:
            views.rows.pop(key, None)
        for view in changes.put:
            views.rows[view.key] = view
        for key, position in changes.unparked:
            del views.letters[position, key]
        for letter in changes.parked:
            views.letters[letter.position, letter.key] = letter
        views.checkpoint = changes.checkpoint
        return True

    async def tables(self) -> Mapping[ViewTable, Checkpoint]:
        self._check_open()
        return {
            ViewTable(name, version, views.indexes): views.checkpoint
            for (name, version), views in sorted(self._tables.items())
        }

    async def parked(self, table: ViewTable) -> Mapping[str, int]:
        self._check_open()
        return Counter([key for _, key in self._views(table).letters])

    async def letters(
        self, table: ViewTable, key: str | None = None, *, after: tuple[int, str] = (0, ""), limit: int
    ) -> Sequence[DeadLetter]:
        self._check_open()
        places = sorted([place for place in self._views(table).letters if place > after and key in (None, place[1])])
        return [self._views(table).letters[place] for place in places[:limit]]

    async def ask(self, request: Request) -> None:
        self._check_open()
        self._requests[request.id] = request
        for old in [one.id for one in self._requests.values() if one.answered_at is not None][:-1_000]:
            del self._requests[old]

    async def requests(self, *, is_open: bool, limit: int) -> Sequence[Request]:
        self._check_open()
        return [one for one in self._requests.values() if (one.answered_at is None) == is_open][:limit]

    async def asked(self, request_id: str) -> Request | None:
        self._check_open()
        return self._requests.get(request_id)

    async def answer(self, request: Request) -> None:
        if (asked := await self.asked(request.id)) and asked.answered_at is None:
            self._requests[request.id] = request

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator["MemoryViewReader"]:
        self._check_open()
        held = dict(self._tables)
        for views in held.values():
            views.readers += 1
        try:
            yield MemoryViewReader(held)
        finally:
            for views in held.values():
                views.readers -= 1

    def _views(self, table: ViewTable) -> _Views:
        return _indexed(self._tables, table, self.url)


class MemoryViewReader:
    """All tables as they were when the snapshot was taken."""

    def __init__(self, tables: Mapping[tuple[str, int], _Views]) -> None:
        self._tables = tables

    async def checkpoint(self, table: ViewTable) -> Checkpoint:
        return _indexed(self._tables, table, _Opened.url).checkpoint

    async def get(self, table: ViewTable, key: str) -> bytes | None:
        view = _indexed(self._tables, table, _Opened.url).rows.get(key)
        return None if view is None else view.payload

    async def letters(self, table: ViewTable, first: int, last: int) -> Sequence[DeadLetter]:
        letters = self._tables[table.projection, table.version].letters
        return [letters[place] for place in sorted(letters) if first <= place[0] <= last][:1_000]

    async def find(
        self,
        table: ViewTable,
        where: Where,
        order_by: str | None,
        descending: bool,
        limit: int,
        *,
        after: Place | None = None,
    ) -> Sequence[tuple[str, bytes]]:
        rows = _indexed(self._tables, table, _Opened.url).rows.values()
        wanted = [(table.fields.index(name), condition) for name, condition in where.items()]
        found = [row for row in rows if all(holds(condition, row.index_values[place]) for place, condition in wanted)]
        found.sort(key=lambda row: row.key)
        place = None if order_by is None else table.fields.index(order_by)

        def value(row: StoredView) -> tuple[int, str | int | float]:
            return rank(None if place is None else row.index_values[place])

        # The sort is stable, in reverse too: ties stay ascending by key.
        found.sort(key=value, reverse=descending)
        if after is not None:
            last = rank(after.value)
            found = [
                row
                for row in found
                if (value(row) < last if descending else value(row) > last)
                or (value(row) == last and row.key > after.key)
            ]
        return [(row.key, row.payload) for row in found[:limit]]


def _indexed(tables: Mapping[tuple[str, int], _Views], table: ViewTable, url: str) -> _Views:
    """The views, where they are indexed as the caller takes them to be."""
    held = tables[table.projection, table.version]
    if held.indexes != table.indexes:
        raise other_indexes(table, held.indexes, url)
    return held
