"""Subscription: an ordered reading of the store, in pages while it is behind and from the feed when it is level."""

import math
from collections.abc import Callable, Sequence
from datetime import datetime

import anyio
import msgspec
from anyio.abc import TaskGroup

from bus.core.application import Application
from bus.core.batches import AnyProjection
from bus.core.errors import Unreadable
from bus.core.limits import Limits
from bus.core.messages import Event, Recorded
from bus.core.names import category_of
from bus.core.schema import Schema
from bus.core.stored import Checkpoint, StoredEvent
from bus.ports import EventStore
from bus.runtime.feed import Feed
from bus.runtime.log import log, told
from bus.runtime.reply import Reply, Signal


class Slice(msgspec.Struct, frozen=True):
    """Some events that follow a position."""

    events: Sequence[Recorded[Event]]
    """Those that the reader is interested in."""
    last: Checkpoint
    """The last event read, of interest or not."""
    read: int
    """How many events were read, as the store counts them."""
    recorded_at: datetime | None
    """When the last of them was recorded."""
    fault: Unreadable | None = None
    """Why the event after `last` cannot be read."""
    is_live: bool = True
    """Whether it reaches the end of the store, as far as is known, so that the reader is not catching up."""
    oldest_at: datetime | None = None
    """When the event that follows the position was recorded, whether or not it can be read."""


class Ahead(msgspec.Struct):
    """A page that is being read before it is asked for."""

    after: int
    reply: Reply
    """Gets a slice, or None where it could not be read."""


class Subscription:
    """Every event after a position, once and in position order.

    The feed is taken only where it continues exactly what was read before; whatever it does not hold is read from the
    store. Since positions have no gaps and follow the commit order, nothing can appear behind the reader.
    """

    def __init__(
        self,
        start: Checkpoint,
        types: Sequence[type[Event]],
        foreign_categories: frozenset[str],
        *,
        store: EventStore,
        schema: Schema,
        feed: Feed,
        new_reply: Callable[[], Reply],
        limits: Limits,
    ) -> None:
        self._last = start
        self._types = frozenset(types)
        self._names = schema.names_of(types)
        self._foreign_categories = foreign_categories
        self._store = store
        self._schema = schema
        self._feed = feed
        self._limits = limits
        self.read_at_most(limits.projection_events_max)
        self._next_poll = -math.inf
        """When, on the loop's clock, a store that others write to is asked again although nothing tells of news."""
        self._is_interrupted = False
        self._first: tuple[int, datetime | None] = 0, None
        """Position of the first event that was read last, and when it was recorded."""
        self._new_reply = new_reply
        self._ahead: Ahead | None = None
        self._tasks: TaskGroup | None = None
        """Where pages are read ahead, while there is one."""
        self._signal = Signal(new_reply)
        feed.listen(self._signal)

    def read_at_most(self, events: int) -> None:
        """Whatever is read at a time becomes one transaction of the view store."""
        self._events_max = events
        self._page_events_max = min(self._limits.page_events_max, events)

    async def next(self, until: int | None = None) -> Slice | None:
        """The events that follow `accept`ed ones, at least one or a fault; waits for them.

        None of them is after position `until`. Where there are none and it is interrupted it returns None.
        """
        while True:
            position = self._last.position
            room = self._events_max if until is None else until - position
            live = self._feed.after(position, min(room, self._events_max))
            if live:
                self._first = live[0].position, live[0].recorded_at
                return self._from_feed(live)
            # While a page is fetched the head moves on, of which the page then knows nothing.
            head = self._feed.head
            if position < head or self._is_poll_due():
                found = await self._read(self._last, min(room, self._page_events_max))
                if found is not None:
                    self._first = position + 1, found.oldest_at
                    return found
                if position < head:
                    raise RuntimeError(f"{self._store.url} has no event after {position}, but its head is later")
            if self._is_interrupted:
                self._is_interrupted = False
                return None
            await self._signal.wait(self._next_poll if self._store.shared else math.inf)

    def read_ahead_in(self, tasks: TaskGroup) -> None:
        """From now on pages are read while those before them are worked on, in tasks of this group."""
        self._tasks = tasks
        # What an earlier group was about to read nobody will finish.
        self._ahead = None

    async def _read(self, last: Checkpoint, limit: int) -> Slice | None:
        """The next page; while it is worked on, the one after it is read."""
        ahead, self._ahead = self._ahead, None
        found: Slice | None = None
        if ahead is not None and ahead.after == last.position:
            found = await ahead.reply
        if found is None or found.read > limit:
            page = await self._store.page(last.position, limit)
            if not page:
                return None
            found = self._from_store(last, page)
        if found.read == self._page_events_max and found.fault is None and self._tasks is not None:
            self._ahead = Ahead(found.last.position, self._new_reply())
            self._tasks.start_soon(self._read_ahead, self._ahead, found.last)
        return found

    async def _read_ahead(self, ahead: Ahead, last: Checkpoint) -> None:
        found: Slice | None = None
        try:
            if page := await self._store.page(last.position, self._page_events_max):
                found = self._from_store(last, page)
        except Exception as error:
            # Whoever asks for the page will meet it, and deal with it.
            log.debug("a page was not read ahead", store=self._store.url, error=told(error))
        if not ahead.reply.is_done:
            ahead.reply.set_result(found)

    def interrupt(self) -> None:
        """Lets `next` wait no longer: its caller has something else to do."""
        self._is_interrupted = True
        self._signal.set()

    def close(self) -> None:
        """Nobody will ask any more."""
        self._feed.unlisten(self._signal)

    def recorded_at(self, position: int) -> datetime | None:
        """When the event there was recorded, if it is the first of those that `next` has given last."""
        first, recorded_at = self._first
        return recorded_at if first == position else None

    def _is_poll_due(self) -> bool:
        """Not at each call: between two polls this process's own commits keep its readers level."""
        if not self._store.shared or anyio.current_time() < self._next_poll:
            return False
        self._next_poll = anyio.current_time() + self._limits.poll_interval_s
        return True

    def accept(self, last: Checkpoint) -> None:
        """Goes on after `last` at the next call; without it, `next` gives the same events again."""
        self._last = last

    def _from_feed(self, live: Sequence[Recorded[Event]]) -> Slice:
        last = live[-1]
        types = self._types
        return Slice(
            [recorded for recorded in live if recorded.event.__class__ in types],
            Checkpoint(last.position, self._store.identity, last.stream, last.version),
            len(live),
            last.recorded_at,
        )

    def _from_store(self, last: Checkpoint, page: Sequence[StoredEvent]) -> Slice:
        events: list[Recorded[Event]] = []
        old = self._schema.upcasters
        for read, stored in enumerate(page):
            try:
                if self._is_wanted(stored):
                    recorded = self._schema.recorded(stored)
                    if stored.name in old:
                        recorded = [one for one in recorded if one.event.__class__ in self._types]
                    events += recorded
            except Unreadable as fault:
                return Slice(events, last, read, None, fault, oldest_at=page[0].recorded_at)
            last = Checkpoint(stored.position, self._store.identity, stored.stream, stored.version)
        is_live = last.position >= self._feed.head
        return Slice(events, last, len(page), page[-1].recorded_at, None, is_live, page[0].recorded_at)

    def _is_wanted(self, stored: StoredEvent) -> bool:
        """Whether the event is to be decoded: an unknown one is, unless it can only be another aggregate's business."""
        if stored.name in self._names:
            return True
        return not self._schema.is_readable(stored.name) and category_of(stored.stream) not in self._foreign_categories


def foreign_categories(application: Application, projection: AnyProjection) -> frozenset[str]:
    """Categories whose deciders record nothing that the projection takes."""
    wanted = set(projection.events)
    return frozenset(decider.category for decider in application.deciders if wanted.isdisjoint(decider.events))
