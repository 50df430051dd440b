"""Stored shapes: what passes between the bus and its stores, in bytes and numbers."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from bus.core.batches import AnyProjection
from bus.core.errors import Unusable, ViewsDropped
from bus.core.fingerprint import fingerprint_or_none
from bus.core.letters import DeadLetter
from bus.core.messages import Command
from bus.core.projection import Index, IndexValue, fields_of


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event on its way to the store."""

    name: str
    payload: bytes


class Append(msgspec.Struct, frozen=True, gc=False):
    """What one command records: all of it or nothing.

    Without events it only asks to confirm that the stream is still at `expected_version`.
    """

    stream: str
    expected_version: int
    """The stream's version before the first event."""
    events: tuple[NewEvent, ...]
    command_id: str
    command: Command | bytes
    """The command, or its fingerprint where that is known already."""
    correlation_id: str | None = None
    """None where it is the command's own id."""
    causation_id: str | None = None
    traceparent: str | None = None

    @property
    def fingerprint(self) -> bytes:
        """What to store in order to tell a repeated command from a reused id; computed anew at each call."""
        return fingerprint_or_none(self.command)


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as the store holds it."""

    position: int
    stream: str
    version: int
    name: str
    payload: bytes
    recorded_at: datetime
    """In UTC, to the microsecond."""
    command_id: str
    fingerprint: bytes
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    fault: str | None = None
    """Why it is not what was recorded, where the store sees that; nobody may take it for an event then."""


class Snapshot(msgspec.Struct, frozen=True):
    """The state of one stream's aggregate after the event of that version."""

    stream: str
    version: int
    format: str
    """What the state must look like to whoever reads it."""
    payload: bytes


class History(msgspec.Struct, frozen=True):
    """Events of one stream, by version, as much of them as makes a state."""

    stream: str
    version: int
    """The version of the last of them, or of the snapshot where there are none."""
    events: tuple[tuple[str, bytes], ...]
    """Stored name and payload of each; at least one, unless there is a snapshot."""
    snapshot: Snapshot | None = None
    """What they follow."""


class Stale(msgspec.Struct, frozen=True):
    """The stream was not at the expected version."""

    actual: int


class AlreadyRecorded(msgspec.Struct, frozen=True):
    """The command id is in the store; these are the events it recorded, in order."""

    events: tuple[StoredEvent, ...]


class Unstorable(msgspec.Struct, frozen=True):
    """The store cannot hold this entry's data."""

    reason: str


Refusal = Stale | AlreadyRecorded | Unstorable


class Appended(msgspec.Struct, frozen=True):
    """The outcome of an append, entry by entry."""

    position_before: int
    """Position of the last event before this append's first; the accepted events follow it without a gap."""
    refused: dict[int, Refusal]
    """By index in the batch; an entry that is not here is durable."""


class Checkpoint(msgspec.Struct, frozen=True):
    """The last position that a projection has finished, and which event stood there."""

    position: int = 0
    store_id: str = ""
    stream: str = ""
    version: int = 0


class ViewTable(msgspec.Struct, frozen=True):
    """Where the views of one projection version live."""

    projection: str
    version: int
    indexes: tuple[Index, ...] = ()
    build: int = 0
    """Goes up each time that the views of a version are built anew."""

    @property
    def place(self) -> tuple[str, int, int]:
        """What names the table among all others, however it is indexed: projection, version and build."""
        return self.projection, self.version, self.build

    @property
    def title(self) -> str:
        """Which of the projection's builds it is, in words."""
        return f"version {self.version}" + (f" build {self.build}" if self.build else "")

    @property
    def fields(self) -> tuple[str, ...]:
        """The indexed fields, in the order in which a view's index values come."""
        return fields_of(self.indexes)


def table_of(projection: AnyProjection) -> ViewTable:
    """Where a projection's views live; that of a batch projection holds none, but has a checkpoint."""
    return ViewTable(projection.name, projection.version, projection.indexes)


class Claim(msgspec.Struct, frozen=True):
    """Who may commit the views of a table, and where they are."""

    owner: str
    """Whoever holds the lease; '' for nobody."""
    epoch: int
    """Goes up each time the lease changes hands, also where the table was dropped and made anew meanwhile."""
    checkpoint: Checkpoint


class StoredView(msgspec.Struct, frozen=True, gc=False):
    """A view on its way to the store."""

    key: str
    payload: bytes
    index_values: tuple[IndexValue, ...] = ()


class ViewChanges(msgspec.Struct, frozen=True):
    """What one projector transaction does: rows and checkpoint together."""

    expected: Checkpoint
    """The checkpoint that must be in the store, else nothing is written."""
    checkpoint: Checkpoint
    put: tuple[StoredView, ...]
    removed: tuple[str, ...]
    epoch: int = 0
    """That of the lease, which must be in the store as well."""
    parked: tuple[DeadLetter, ...] = ()
    """Letters to keep; one of the same key and position is replaced."""
    unparked: tuple[tuple[str, int], ...] = ()
    """Key and position of letters to remove, each of which must be there, else nothing is written."""


def as_texts(indexes: Sequence[Index]) -> list[str]:
    """As stores keep the names of indexes: several fields with commas between them."""
    return [index if isinstance(index, str) else ",".join(index) for index in indexes]


def from_texts(texts: Sequence[str]) -> tuple[Index, ...]:
    """Reads what `as_texts` has written."""
    return tuple([tuple(text.split(",")) if "," in text else text for text in texts])


def other_indexes(table: ViewTable, held: Sequence[Index], url: str) -> Unusable:
    """For who takes views to be indexed as they are not, or not any more."""
    return Unusable(
        f"{url}: the views of {table.projection!r} version {table.version} are indexed by {tuple(held)!r}, "
        f"not by {table.indexes!r}: a bus of another release has opened them. Nothing was changed; run one release, "
        "whose opening indexes the views by what its projection declares",
        store=url,
    )


def indexed_elsewhere(table: ViewTable, url: str) -> Unusable:
    """For who finds that the views are not where they were."""
    return Unusable(
        f"{url}: the views of {table.projection!r} version {table.version} were indexed anew by a bus of another "
        f"release, and are not indexed by {table.indexes!r} any more. Nothing was changed; run that release here too",
        store=url,
    )


def dropped(table: ViewTable, url: str) -> ViewsDropped:
    """For who still uses views that were dropped."""
    return ViewsDropped(
        f"{url}: the views of {table.projection!r} version {table.version}, build {table.build}, are no longer there: "
        "others answer in their place, and these were dropped. Nothing was changed; run the release that those belong "
        "to, or open the bus again to build these anew",
        store=url,
        projection=table.projection,
    )


def not_indexable(table: ViewTable, key: str, why: str, url: str) -> Unusable:
    """For a view that is kept and cannot have the indexes that are declared now."""
    return Unusable(
        f"{url}: the view {key!r} of {table.projection!r} version {table.version} cannot be indexed by "
        f"{table.indexes!r}: {why}. Nothing was changed; raise the projection's version to build its views anew",
        store=url,
    )


def entry_fault(entry: Append) -> str | None:
    """Why no store can hold this entry's texts, or None when it can."""
    events = entry.events
    if len(events) == 1:
        together = f"{entry.stream}{entry.command_id}{events[0].name}"
    else:
        together = "".join([entry.stream, entry.command_id, *[event.name for event in events]])
    if entry.correlation_id is not None or entry.causation_id is not None or entry.traceparent is not None:
        together += f"{entry.correlation_id}{entry.causation_id}{entry.traceparent}"
    # One look at all of them settles nearly every entry.
    if together.isascii() and "\0" not in together:
        return None
    for text in (entry.stream, entry.command_id, entry.correlation_id, entry.causation_id, entry.traceparent):
        if text is not None and (fault := text_fault(text)) is not None:
            return fault
    for event in entry.events:
        if (fault := text_fault(event.name)) is not None:
            return fault
    return None


def view_fault(view: StoredView) -> str | None:
    """Why no store can hold this view's key or index values, or None when it can."""
    for text in (view.key, *view.index_values):
        if isinstance(text, str) and ("\0" in text or not text.isascii()) and (fault := text_fault(text)) is not None:
            return fault
    return None


def views_fault(views: Sequence[StoredView]) -> str | None:
    """The same for many views: what is wrong with the first that no store can hold."""
    columns: list[Sequence[IndexValue]] = [[view.key for view in views]]
    columns += zip(*[view.index_values for view in views], strict=True)
    for column in columns:
        texts = [value for value in column if isinstance(value, str)]
        # One look at all of them settles nearly every column.
        if texts and text_fault("".join(texts)) is not None:
            break
    else:
        return None
    return next((fault for view in views if (fault := view_fault(view)) is not None), None)


def text_fault(text: str) -> str | None:
    """Why no store can hold this text, or None: databases refuse NUL characters and lone surrogates."""
    if "\0" in text:
        return "a text with a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a text that is not valid Unicode (a lone surrogate)"
    return None
