"""The port of event stores: where events are recorded."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from bus.core.stored import (
    AlreadyRecorded,
    Append,
    Appended,
    History,
    Snapshot,
    StoredEvent,
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
