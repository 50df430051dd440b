"""The writer's side of the event store: batches become rows, in the thread that owns the connection."""

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from adapters.sqlite.errors import DATA_ERRORS, DRIVER_ERRORS, unavailable
from adapters.sqlite.event_schema import (
    COLUMNS,
    COMMANDS,
    HEAD,
    STREAM_HEADS,
    WIDTH,
    stored_events,
    to_microseconds,
)
from adapters.sqlite.transaction import ManyRows, transaction
from bus.core.names import category_of
from bus.core.stored import (
    AlreadyRecorded,
    Append,
    Appended,
    NewEvent,
    Refusal,
    Stale,
    Unstorable,
    entry_fault,
    text_fault,
)

_INSERT = f"INTO events({COLUMNS})"
_INSERT_ONE = f"INSERT {_INSERT} VALUES ({','.join('?' * WIDTH)})"
_INSERT_STREAM = "INSERT OR ROLLBACK INTO streams(stream_key, name) VALUES (?, ?)"
_INSERT_NAME = "INSERT OR IGNORE INTO names(name, category) VALUES (?, ?)"
_NEXT_KEY = "SELECT coalesce(max(stream_key), 0) + 1 FROM streams"

_Row = tuple[object, ...]

Head = tuple[int, int]
"""A stream's key and its version."""


class Heads:
    """The heads of the streams used last, as committed; bounded, since the least recent half is let go at times."""

    def __init__(self, streams_max: int) -> None:
        self._generation_max = max(1, streams_max // 2)
        self._young: dict[str, Head] = {}
        self._old: dict[str, Head] = {}

    def get(self, stream: str) -> Head | None:
        return self._young.get(stream) or self._old.get(stream)

    def update(self, heads: dict[str, Head]) -> None:
        self._young.update(heads)
        if len(self._young) > self._generation_max:
            self._old, self._young = self._young, {}

    def clear(self) -> None:
        self._young, self._old = {}, {}


class Appender:
    """Appends to a database of which it is the only writer, and therefore knows what is in it.

    The common batch is compared with the heads it remembers and inserted without a look at the database; that no
    command is recorded twice is seen by the unique index. Only what that batch cannot be is gone through one by one.

    What it remembers changes only once COMMIT has returned, so a failed append leaves it as it was. Should it be wrong
    all the same, since a commit in doubt has happened or another program wrote past the lock, then the batch does not
    fit or a unique index refuses it, and going through it one by one reads everything anew.
    """

    def __init__(self, connection: sqlite3.Connection, url: str, heads_max: int) -> None:
        self._connection = connection
        self._url = url
        self._heads = Heads(heads_max)
        self._many = ManyRows(f"INSERT OR ROLLBACK {_INSERT}", WIDTH)
        self._counters: tuple[int, int] | None = None
        """The last position and the next stream key, as committed; None when to be read."""
        self._names: dict[str, str] = {}
        """Stored names in the database with their categories, as far as known; few, since a program's text has them."""

    def append(self, batch: Sequence[Append], recorded_at: datetime) -> Appended:
        """Raises as the port says."""
        moment = to_microseconds(recorded_at)
        try:
            return self._all_at_once(batch, moment) or self._one_by_one(batch, moment)
        except DRIVER_ERRORS as error:
            # Outside a transaction, or out of one that was rolled back.
            raise unavailable(error, self._url) from error

    def _all_at_once(self, batch: Sequence[Append], moment: int) -> Appended | None:
        """Records the whole batch, or nothing of it if an entry is not as usual."""
        try:
            staged = self._staged(batch)
            if staged is None:
                return None
            before, next_key = self._read_counters()
            heads: dict[str, Head] = {}
            created: list[tuple[int, str]] = []
            for stream, head in staged.items():
                if head is None:
                    heads[stream] = (next_key, 0)
                    created.append((next_key, stream))
                    next_key += 1
                else:
                    heads[stream] = head
            fresh: dict[str, str] = {}
            values = self._values(batch, moment, before, heads, fresh)
            if values is None:
                return None
            with transaction(self._connection, self._url):
                if fresh:
                    self._connection.executemany(_INSERT_NAME, fresh.items())
                if created:
                    self._connection.executemany(_INSERT_STREAM, created)
                self._many.run(self._connection, values)
        except (sqlite3.IntegrityError, *DATA_ERRORS):
            return None
        self._names.update(fresh)
        self._heads.update(heads)
        self._counters = before + len(values) // WIDTH, next_key
        return Appended(before, {})

    def _staged(self, batch: Sequence[Append]) -> dict[str, Head | None] | None:
        """The streams of the batch with their heads, None for a new one; None where an entry is not as usual."""
        known = self._heads.get
        staged: dict[str, Head | None] = {}
        for entry in batch:
            if not entry.events or entry_fault(entry) is not None:
                return None
            staged[entry.stream] = known(entry.stream)
        cold = [stream for stream, head in staged.items() if head is None]
        if cold:
            staged.update(self._read_heads(cold))
        return staged

    def _values(
        self, batch: Sequence[Append], moment: int, position: int, heads: dict[str, Head], fresh: dict[str, str]
    ) -> list[object] | None:
        """The columns of all rows, one after the other. None where a stream is not at its version.

        Moves `heads` on, and puts names that the database does not have yet into `fresh`.
        """
        values: list[object] = []
        names = self._names
        for entry in batch:
            stream, expected, events = entry.stream, entry.expected_version, entry.events
            key, version = heads[stream]
            if version != expected:
                return None
            if len(events) == 1:
                # The rule, for which a list of rows is a third of the price of all.
                if events[0].name not in names:
                    fresh.setdefault(events[0].name, category_of(stream))
                values += _row(entry, events[0], 1, position, key, moment=moment, fingerprint=entry.fingerprint)
            else:
                for event in events:
                    if event.name not in names:
                        fresh.setdefault(event.name, category_of(stream))
                for row in _rows(entry, position, key, moment):
                    values += row
            position += len(events)
            heads[stream] = (key, version + len(events))
        return values

    def _one_by_one(self, batch: Sequence[Append], moment: int) -> Appended:
        """Records what can be recorded, and finds out why the rest cannot."""
        refused: dict[int, Refusal] = {}
        broken: set[str] = set()
        heads: dict[str, Head] = {}
        self._counters = None
        with transaction(self._connection, self._url):
            before, next_key = self._read_counters()
            position = before
            for index, entry in enumerate(batch):
                refusal = self._refusal(entry, heads, broken)
                if refusal is None and entry.events:
                    refusal = self._insert(entry, moment, position, heads[entry.stream][0], next_key)
                if refusal is not None:
                    refused[index] = refusal
                    broken.add(entry.stream)
                elif entry.events:
                    key, version = heads[entry.stream]
                    heads[entry.stream] = (key or next_key, version + len(entry.events))
                    next_key += not key
                    position += len(entry.events)
        self._heads.update({stream: head for stream, head in heads.items() if head[0]})
        self._counters = position, next_key
        return Appended(before, refused)

    def _refusal(self, entry: Append, heads: dict[str, Head], broken: set[str]) -> Refusal | None:
        """Why not to record this entry; puts the stream's head, key 0 for a new one, where it is missing."""
        if (fault := entry_fault(entry)) is not None:
            return Unstorable(fault)
        known = stored_events(self._connection.execute(COMMANDS, (texts([entry.command_id]),)))
        if known:
            return AlreadyRecorded(tuple(known))
        if entry.stream not in heads:
            heads[entry.stream] = self._read_heads([entry.stream]).get(entry.stream, (0, 0))
        actual = heads[entry.stream][1]
        if actual != entry.expected_version or entry.stream in broken:
            return Stale(actual)
        return None

    def _insert(self, entry: Append, moment: int, position: int, key: int, next_key: int) -> Unstorable | None:
        """Records one entry, or leaves no trace of it."""
        execute = self._connection.execute
        execute("SAVEPOINT entry")
        refusal: Unstorable | None = None
        try:
            if not key:
                key = next_key
                execute("INSERT INTO streams(stream_key, name) VALUES (?, ?)", (key, entry.stream))
            for row in _rows(entry, position, key, moment):
                execute(_INSERT_ONE, row)
            # Whoever comes by the other way adds them to those that are remembered, here they only have to be there.
            for event in entry.events:
                execute(_INSERT_NAME, (event.name, category_of(entry.stream)))
        except (sqlite3.IntegrityError, *DATA_ERRORS) as error:
            # No uniqueness is violated any more; what is left are values of a type or size that no column takes.
            refusal = Unstorable(f"SQLite cannot hold it: {error}")
            execute("ROLLBACK TO entry")
        execute("RELEASE entry")
        return refusal

    def _read_counters(self) -> tuple[int, int]:
        if self._counters is None:
            position = self._connection.execute(HEAD).fetchone()[0]
            self._counters = position, self._connection.execute(_NEXT_KEY).fetchone()[0]
        return self._counters

    def _read_heads(self, streams: Iterable[str]) -> dict[str, Head]:
        rows = self._connection.execute(STREAM_HEADS, (texts(streams),)).fetchall()
        return {name: (key, version) for name, key, version in rows}


def texts(values: Iterable[str]) -> str:
    """A list as `json_each` takes it, without what no column can hold: SQLite would cut a text off at a NUL."""
    return msgspec.json.encode([value for value in values if text_fault(value) is None]).decode()


def _rows(entry: Append, position: int, key: int, moment: int) -> list[_Row]:
    """The rows of one entry, which follow `position`."""
    fingerprint = entry.fingerprint
    return [
        _row(entry, event, place, position, key, moment=moment, fingerprint=fingerprint)
        for place, event in enumerate(entry.events, 1)
    ]


def _row(
    entry: Append, event: NewEvent, place: int, position: int, key: int, *, moment: int, fingerprint: bytes
) -> _Row:
    """The row of an entry's event of that number, counted from 1, in the order of `COLUMNS`."""
    return (
        position + place,
        key,
        entry.expected_version + place,
        event.name,
        event.payload,
        moment,
        entry.command_id,
        place - 1,
        fingerprint,
        entry.correlation_id,
        entry.causation_id,
        entry.traceparent,
    )
