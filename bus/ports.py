"""Ports: what the bus asks of the world, as Protocols; adapters implement them, contract suites hold their laws."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from bus.core.errors import BusError
from bus.core.projection import IndexValue
from bus.core.reports import Failed, Journey, Projected, Queried, Recovered, Sent, Turned
from bus.core.statistics import Statistics
from bus.core.stored import (
    AlreadyRecorded,
    Append,
    Appended,
    Checkpoint,
    History,
    Snapshot,
    StoredEvent,
    ViewChanges,
    ViewTable,
)


class EventStore(Protocol):
    """Where events are recorded. Used by one bus at a time, inside `async with`; it may be opened again later.

    Laws (the contract suite in the tests proves them for each adapter):

    - A stream's versions are 1, 2, 3, ... without gap or double; positions are 1, 2, 3, ... over the whole store, in
      commit order, without gap. Whoever can read position p can read every position before it.
    - A command id is recorded once. Its events, in order, lie in one stream at consecutive versions and positions.
    - Opening raises a subclass of `Unusable` when it cannot be used, and changes nothing then. Where the bus refuses
      what it finds in an open store, that error is given to `__aexit__`, which changes nothing either.
    """

    @property
    def url(self) -> str:
        """The store's name for people; no password in it."""
        ...

    @property
    def identity(self) -> str:
        """A text that no other store has, made when the store was created; known once open."""
        ...

    @property
    def shared(self) -> bool:
        """Whether other writers may append: if so, decisions that record nothing are confirmed by an append too."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    async def append(self, batch: Sequence[Append], recorded_at: datetime) -> Appended:
        """Records the entries of `batch`, in order, in one transaction, and returns once they are durable.

        Each entry stands for itself, save that one whose stream had an earlier entry refused is stale as well:
        - A command id that is already recorded is refused as `AlreadyRecorded`, before any look at the version.
        - A stream that is not at `expected_version` is refused as `Stale`; an entry without events is only compared.
        - Data that the store cannot hold is refused as `Unstorable`.
        All others are recorded; positions follow the order in the batch.

        Raises `StoreUnavailable` when it is certain that nothing of the batch was or will be recorded. Any other
        exception, cancellation included, means that it may have been, now or a little later. To append the identical
        batch again is always safe.
        """
        ...

    async def head(self) -> int:
        """The last position, 0 while the store is empty."""
        ...

    async def names(self) -> Mapping[str, str]:
        """Every stored name that any event has, with the category of the first such event's stream.

        Asked once, when a bus is opened, of a store that may hold a hundred million events: so appends keep count.
        """
        ...

    async def page(self, after: int, limit: int) -> Sequence[StoredEvent]:
        """Up to `limit` events that follow position `after`, in position order; fewer only at the end."""
        ...

    async def stream_pages(self, after: Mapping[str, int], limit: int) -> Sequence[StoredEvent]:
        """Up to `limit` events of the streams named, each from the version that follows the one given.

        A stream's events come together, by version; fewer than `limit` only when there are no more. A caller that got
        a full page asks again with the versions that it has reached.
        """
        ...

    async def histories(
        self, after: Mapping[str, int], limit: int, snapshots: Mapping[str, str] | None = None
    ) -> Sequence[History]:
        """The events of `stream_pages(after, limit)` by stream, without their places; streams without any are missing.

        `snapshots` names for some of the streams the format wanted. Where the store has a snapshot of that format,
        later than the version in `after`, the stream begins after it: its History has the snapshot, and of the events
        that follow it as many as there is room for, perhaps none. Every such snapshot is in the answer.

        What cold actors are recovered from: reading all columns takes a store twice the time.
        """
        ...

    async def save_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        """Keeps snapshots, one for each stream: the latest, or the last saved where the formats differ.

        They are copies: nothing is lost with them. Those of streams without events are ignored. May raise anything.
        """
        ...

    async def find_commands(self, command_ids: Iterable[str]) -> Mapping[str, AlreadyRecorded]:
        """What each of those commands recorded; ids that recorded nothing are missing."""
        ...


@runtime_checkable
class Waking(Protocol):
    """What a shared event store may do besides: tell of other writers' appends sooner than polling finds them."""

    async def follow(self, heard: Callable[[int], None]) -> None:
        """Calls `heard` with positions that others have committed, and lets others hear of this store's own.

        To be run while the store is open, once at a time. Returns where that cannot be done; raises when it breaks off,
        and may be called again. Appends may be missed at any time: this saves waiting, and replaces no reading.
        """
        ...


class ViewReader(Protocol):
    """One consistent snapshot of all views."""

    async def checkpoint(self, table: ViewTable) -> Checkpoint:
        """How far the views in this snapshot have come."""
        ...

    async def get(self, table: ViewTable, key: str) -> bytes | None:
        """The payload of one view."""
        ...

    async def find(
        self, table: ViewTable, where: Mapping[str, IndexValue], order_by: str | None, descending: bool, limit: int
    ) -> Sequence[bytes]:
        """Payloads of up to `limit` views whose indexed fields equal `where`.

        Ordered by the indexed field `order_by`: None, then numbers, then text by code point, all reversed if
        `descending`; ties, and everything when `order_by` is None, ascending by key.
        """
        ...


class ViewStore(Protocol):
    """Where views are kept. Used by one bus at a time, inside `async with`; it may be opened again later."""

    @property
    def url(self) -> str:
        """The store's name for people; no password in it."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    async def prepare(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        """Makes room for these tables, keeps what they hold, and returns how far each has come."""
        ...

    async def load(self, table: ViewTable, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The payloads of those keys as last committed; keys without a view are missing."""
        ...

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        """Writes rows and checkpoint in one transaction.

        Returns False and writes nothing if the stored checkpoint is not `changes.expected`. Raises `StoreUnavailable`
        when nothing was written, `ValueError` when that is because a view holds what cannot be stored, such as a NUL
        character in its key; any other exception leaves open what was written.
        """
        ...

    def snapshot(self) -> AbstractAsyncContextManager[ViewReader]:
        """A reader that sees one committed state of all tables, whatever is committed meanwhile."""
        ...


class Clock(Protocol):
    """Time, as the bus sees it."""

    def monotonic(self) -> float:
        """Seconds on the clock of the running event loop, for deadlines."""
        ...

    def now(self) -> datetime:
        """The time of day in UTC, for `recorded_at`."""
        ...


class Ids(Protocol):
    """Where the ids of commands come from."""

    def new(self) -> str:
        """A text that nobody has had before; in growing order if possible, which keeps indexes small."""
        ...


class Telemetry(Protocol):
    """What observes the bus. Its methods are plain calls on the bus's own path: they return at once and never raise.

    Apart from `sent`, which is asked for each command, all is told after the fact and a batch at a time.
    """

    def opened(self, statistics: Callable[[], Statistics], clock: Clock) -> None:
        """A bus was opened; its `statistics` are to be had until `closed`, and its times are those of `clock`."""
        ...

    def closed(self) -> None:
        """That bus is being closed."""
        ...

    def sent(self, message: Sent, /) -> Journey | str | None:
        """A command is being sent, in the task of its sender.

        Returns a journey where its way is to be told in full, else the W3C `traceparent` of the sender, if any. Either
        is stored with the events.
        """
        ...

    def refused(self, command: object, error: BusError) -> None:
        """A command was refused before it reached a mailbox."""
        ...

    def turned(self, turn: Turned) -> None:
        """Commands were answered; called after their senders were."""
        ...

    def recovered(self, actors: Sequence[Recovered]) -> None:
        """Actors were loaded from the store; the commands that waited for them are decided next."""
        ...

    def projected(self, batch: Projected) -> None:
        """A projector committed a batch."""
        ...

    def queried(self, query: Queried) -> None:
        """A query was answered, or failed."""
        ...

    def failed(self, failure: Failed) -> None:
        """Something failed and is tried again, or was given up."""
        ...
