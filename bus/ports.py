"""Ports: what the bus asks of the world, as Protocols; adapters implement them, contract suites hold their laws."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from bus.core.errors import BusError
from bus.core.finding import Place, Where
from bus.core.letters import DeadLetter, Request
from bus.core.projection import IndexValue
from bus.core.reports import Failed, Journey, Projected, Queried, Recovered, Sent, Turned
from bus.core.statistics import Statistics
from bus.core.stored import (
    AlreadyRecorded,
    Append,
    Appended,
    Checkpoint,
    Claim,
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

    @property
    def appends_at_once(self) -> int:
        """How many appends it takes at a time; 1 where they would only wait for each other.

        Above 1, the bus makes a batch ready while another is committed, which pays where the commit is another
        process's work. Batches under way together have neither a stream nor a command id in common, and each keeps
        the laws of `append` whatever becomes of the other, in whichever order they are committed or answered.
        """
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
    """What a shared store may do besides: tell of what others have committed sooner than polling finds it."""

    async def follow(self, heard: Callable[[int], None]) -> None:
        """Calls `heard` when others have committed something, and lets others hear of this store's own commits.

        An event store tells the position, a view store a number without meaning: checkpoints or leases have changed.
        To be run while the store is open, once at a time. Returns where that cannot be done; raises when it breaks off,
        and may be called again. News may be missed at any time: this saves waiting, and replaces no reading.
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
        self,
        table: ViewTable,
        where: Where,
        order_by: str | None,
        descending: bool,
        limit: int,
        *,
        after: Place | None = None,
    ) -> Sequence[tuple[str, bytes]]:
        """Keys and payloads of up to `limit` views whose indexed values are as `where` says.

        Ordered by the indexed field `order_by`: None, then numbers, then text by code point, all reversed if
        `descending`; ties, and everything when `order_by` is None, ascending by key. With `after` only those that
        follow its place in this order, whether or not a view stands there. `bus/core/finding.py` has the conditions,
        and `steps`, which makes of all this what SQL can say.
        """
        ...

    async def letters(self, table: ViewTable, first: int, last: int) -> Sequence[DeadLetter]:
        """The letters of events at the positions from `first` to `last`, by position and key; up to 1,000 of them."""
        ...


class ViewDesk(Protocol):
    """What may be asked of views beside whoever projects them. Used inside `async with`."""

    @property
    def url(self) -> str:
        """The store's name for people; no password in it."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    async def tables(self) -> Mapping[ViewTable, Checkpoint]:
        """All tables that there are, by projection and version, and how far each has come."""
        ...

    async def parked(self, table: ViewTable) -> Mapping[str, int]:
        """The keys that have letters, with their numbers."""
        ...

    async def letters(
        self, table: ViewTable, key: str | None = None, *, after: tuple[int, str] = (0, ""), limit: int
    ) -> Sequence[DeadLetter]:
        """Up to `limit` letters, of one key or of all, that follow a position and key, by position and then key."""
        ...

    async def ask(self, request: Request) -> None:
        """Keeps a request for whoever runs the projection; of those that were answered it may forget old ones."""
        ...

    async def requests(self, *, is_open: bool, limit: int) -> Sequence[Request]:
        """Up to `limit` requests, oldest first: those that nobody has answered, or else those that somebody has."""
        ...

    async def asked(self, request_id: str) -> Request | None:
        """The request as it is now; None where it was never asked, or forgotten."""
        ...


class ViewStore(ViewDesk, Protocol):
    """Where views are kept. Used by one bus at a time, inside `async with`; it may be opened again later.

    Where several buses keep their views in one place, each table is written by whoever holds its lease. A lease lapses
    by the store's clock; its epoch, which every commit names, goes up when it changes hands, so that who was paused
    and has lost it meanwhile writes nothing.
    """

    @property
    def shared(self) -> bool:
        """Whether other buses may commit views to the same place; if not, leases never lapse."""
        ...

    async def prepare(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        """Makes room for these tables, keeps what they hold, and returns how far each has come.

        Of a table that is kept under other indexes than it names now nothing is changed; it must be given to `reindex`
        before anything else.
        """
        ...

    async def reindex(
        self, table: ViewTable, values_of: Callable[[bytes], tuple[IndexValue, ...]], views_max: int
    ) -> None:
        """Indexes the views of a table by what `table.indexes` names now, and by nothing else.

        `values_of` gives a payload's index values, in that order; up to `views_max` views are in memory at a time.
        Happens as one: whoever reads sees all views under the old indexes or all under the new, and so does who comes
        after a crash. Whoever still uses the table as it was, such as another process, gets `Unusable`, for reading as
        for writing, and changes nothing. Does nothing where the indexes are these already.

        Raises `Unusable` for a view that cannot be indexed so, and whatever `values_of` raises; nothing is changed
        then. Any other exception leaves the old indexes or the new.
        """
        ...

    async def claim(self, tables: Sequence[ViewTable], owner: str, lease_s: float) -> Mapping[ViewTable, Claim]:
        """Takes the leases of tables that nobody else holds, renews those of `owner`, and tells who holds each.

        They last `lease_s` seconds from now. A lease that has lapsed and was not taken meanwhile is renewed without a
        new epoch. Where the store is not shared, every claim is granted. The tables must have been prepared.
        """
        ...

    async def release(self, tables: Sequence[ViewTable], owner: str) -> None:
        """Gives up those leases of these tables that `owner` holds; others may take them at once."""
        ...

    async def load(self, table: ViewTable, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The payloads of those keys as last committed; keys without a view are missing."""
        ...

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        """Writes rows and checkpoint in one transaction.

        Returns False and writes nothing if the stored checkpoint is not `changes.expected`, a letter of
        `changes.unparked` is not there or, in a shared store, the epoch is not `changes.epoch`. Raises
        `StoreUnavailable` when nothing was written, `ValueError` when that is because a view holds what cannot be
        stored, such as a NUL character in its key; any other exception leaves open what was written.
        """
        ...

    async def answer(self, request: Request) -> None:
        """Keeps a request as it is now, answered, unless somebody was quicker: the first answer stands."""
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
