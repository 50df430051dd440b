"""The view store in memory: the shortest correct one; it refuses exactly what the stores on SQL refuse."""

import math
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

import anyio

from bus.core.builds import ANSWERING, BUILDING, REPLACED, Build, Standing, State, answering
from bus.core.finding import Place, Where, holds, rank
from bus.core.letters import DeadLetter, Request
from bus.core.projection import Index, IndexValue
from bus.core.stored import (
    Checkpoint,
    Claim,
    StoredView,
    ViewChanges,
    ViewTable,
    dropped,
    not_indexable,
    other_indexes,
    view_fault,
    views_fault,
)
from bus.memory.opened import Opened

Name: TypeAlias = tuple[str, int, int]
"""Projection, version and build of a table."""


@dataclass
class _Views:
    """One committed state of a table; while somebody reads it, the next commit works on a copy."""

    indexes: tuple[Index, ...]
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    rows: dict[str, StoredView] = field(default_factory=dict[str, StoredView])
    letters: dict[tuple[int, str], DeadLetter] = field(default_factory=dict[tuple[int, str], DeadLetter])
    """By position and key."""
    state: State = ANSWERING
    since: datetime | None = None
    standing: Standing | None = None
    owner: str = ""
    epoch: int = 0
    lapses_at: float = -math.inf
    readers: int = 0


class MemoryViewStore(Opened):
    """Views in dictionaries, one for each version of a projection. `shared=True` as in `MemoryEventStore`."""

    def __init__(self, *, shared: bool = False) -> None:
        super().__init__()
        self.shared = shared
        self._tables: dict[Name, _Views] = {}
        self._requests: dict[str, Request] = {}
        self._first_epochs: dict[Name, int] = {}
        """Of tables that were dropped: where the epochs of one of the same name begin."""

    async def prepare(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        self.check_open()
        for table in tables:
            self._make(table, ANSWERING, None)
        return {table: self._tables[table.place].checkpoint for table in tables}

    async def known(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        self.check_open()
        return {table: self._tables[table.place].checkpoint for table in tables if table.place in self._tables}

    async def reindex(
        self, table: ViewTable, values_of: Callable[[bytes], tuple[IndexValue, ...]], views_max: int
    ) -> None:
        self.check_open()
        held = self._tables.get(table.place)
        if held is None:
            raise dropped(table, self.url)
        if held.indexes == table.indexes:
            return
        rows = {key: StoredView(key, row.payload, values_of(row.payload)) for key, row in held.rows.items()}
        for view in rows.values():
            if (fault := view_fault(view)) is not None:
                raise not_indexable(table, view.key, f"it is {fault}", self.url)
        self._tables[table.place] = replace(
            held, indexes=table.indexes, rows=rows, owner="", lapses_at=-math.inf, readers=0
        )

    async def claim(self, tables: Sequence[ViewTable], owner: str, lease_s: float) -> Mapping[ViewTable, Claim]:
        self.check_open()
        now = anyio.current_time()
        found: dict[ViewTable, Claim] = {}
        for table in tables:
            views = self._tables.get(table.place)
            if views is None:
                continue
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
        self.check_open()
        for views in [self._tables.get(table.place) for table in tables]:
            if views is not None and views.owner == owner:
                views.owner, views.lapses_at = "", -math.inf

    async def load(self, table: ViewTable, keys: Sequence[str]) -> Mapping[str, bytes]:
        self.check_open()
        rows = self._views(table).rows
        return {key: rows[key].payload for key in keys if key in rows}

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        self.check_open()
        if (fault := views_fault(changes.put)) is not None:
            raise ValueError(f"a view of {table.projection!r} cannot be kept, key or index is {fault}")
        views = self._views(table)
        if views.checkpoint != changes.expected or (self.shared and views.epoch != changes.epoch):
            return False
        if any((position, key) not in views.letters for key, position in changes.unparked):
            return False
        if views.readers:
            views = replace(views, rows=dict(views.rows), letters=dict(views.letters), readers=0)
            self._tables[table.place] = views
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

    async def build(self, table: ViewTable, since: datetime) -> None:
        self.check_open()
        self._make(table, BUILDING, since)

    def _make(self, table: ViewTable, state: State, since: datetime | None) -> None:
        made = _Views(table.indexes, state=state, since=since, epoch=self._first_epochs.get(table.place, 0))
        self._tables.setdefault(table.place, made)

    async def switch(self, table: ViewTable, epoch: int, over: ViewTable, since: datetime) -> bool:
        self.check_open()
        new, old = self._tables.get(table.place), self._tables.get(over.place)
        if new is None or (self.shared and new.epoch != epoch):
            return False
        if new.state == ANSWERING and (old is None or old.state == REPLACED):
            return True
        answers = [
            place for place, one in self._tables.items() if place[0] == table.projection and one.state == ANSWERING
        ]
        if new.state != ANSWERING and any(place != over.place for place in answers):
            return False
        if old is not None:
            if old.state != ANSWERING or old.checkpoint.position > new.checkpoint.position:
                return False
            old.state, old.since = REPLACED, since
        new.state, new.since = ANSWERING, since
        return True

    async def drop(self, table: ViewTable) -> bool:
        self.check_open()
        current = answering([one for one in await self.builds() if one.table.projection == table.projection])
        if current is not None and current.table.place == table.place:
            return False
        if (gone := self._tables.pop(table.place, None)) is not None:
            self._first_epochs[table.place] = gone.epoch + 1
        return True

    async def tell(self, table: ViewTable, standing: Standing) -> None:
        self._views(table).standing = standing

    async def builds(self) -> Sequence[Build]:
        self.check_open()
        return [
            Build(ViewTable(name, version, one.indexes, build), one.checkpoint, one.state, one.since, one.standing)
            for (name, version, build), one in sorted(self._tables.items())
        ]

    async def parked(self, table: ViewTable) -> Mapping[str, int]:
        self.check_open()
        return Counter([key for _, key in self._views(table).letters])

    async def letters(
        self, table: ViewTable, key: str | None = None, *, after: tuple[int, str] = (0, ""), limit: int
    ) -> Sequence[DeadLetter]:
        self.check_open()
        places = sorted([place for place in self._views(table).letters if place > after and key in (None, place[1])])
        return [self._views(table).letters[place] for place in places[:limit]]

    async def ask(self, request: Request) -> None:
        self.check_open()
        self._requests[request.id] = request
        for old in [one.id for one in self._requests.values() if one.answered_at is not None][:-1_000]:
            del self._requests[old]

    async def requests(self, *, is_open: bool, limit: int) -> Sequence[Request]:
        self.check_open()
        return [one for one in self._requests.values() if (one.answered_at is None) == is_open][:limit]

    async def asked(self, request_id: str) -> Request | None:
        self.check_open()
        return self._requests.get(request_id)

    async def answer(self, request: Request) -> None:
        if (asked := await self.asked(request.id)) and asked.answered_at is None:
            self._requests[request.id] = request

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator["MemoryViewReader"]:
        self.check_open()
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

    def __init__(self, tables: Mapping[Name, _Views]) -> None:
        self._tables = tables

    async def checkpoint(self, table: ViewTable) -> Checkpoint:
        return _indexed(self._tables, table, Opened.url).checkpoint

    async def get(self, table: ViewTable, key: str) -> bytes | None:
        view = _indexed(self._tables, table, Opened.url).rows.get(key)
        return None if view is None else view.payload

    async def letters(self, table: ViewTable, first: int, last: int) -> Sequence[DeadLetter]:
        letters = _indexed(self._tables, table, Opened.url).letters
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
        rows = _indexed(self._tables, table, Opened.url).rows.values()
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


def _indexed(tables: Mapping[Name, _Views], table: ViewTable, url: str) -> _Views:
    """The views, where they are indexed as the caller takes them to be."""
    held = tables.get(table.place)
    if held is None:
        raise dropped(table, url)
    if held.indexes != table.indexes:
        raise other_indexes(table, held.indexes, url)
    return held
