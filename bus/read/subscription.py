"""Subscription: an ordered reading of the store, in pages while it is behind and from the feed when it is level."""

import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeAlias

import anyio
import anyio.lowlevel
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
from bus.runtime.reply import Reply
from bus.runtime.signal import Signal


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


Work: TypeAlias = Callable[[Slice], Awaitable[bool]]
"""What can be done with a page before its turn; returns whether the page after it is wanted too."""


class Ahead(msgspec.Struct, eq=False):
    """A page that is being read before it is asked for."""

    after: int
    is_read: anyio.Event
    found: Slice | None = None
    """Stays None where it could not be read."""


_PAGES_AHEAD = 3
"""Two are worked on while the one before them is being committed; the third is then there in time."""


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
        self._ahead: list[Ahead] = []
        """Pages that follow each other, each of which begins where the one before it was known to end."""
        self._work: Work | None = None
        """What is done with those pages."""
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
        self._ahead = []

    async def work_ahead(self, last: Checkpoint, work: Work) -> None:
        """Has `work` done on the pages after `last`, in a task, as long as it asks for more; `next` will give the same.

        It ends where other work is to be done, from another place on. Returns when it has begun, where a page is there.
        """
        self._work = work
        if self._tasks is not None and self._page_ahead(last) is not None:
            self._tasks.start_soon(self._work_ahead, last, work)
            await anyio.lowlevel.checkpoint()

    async def _work_ahead(self, last: Checkpoint, work: Work) -> None:
        while (ahead := self._page_ahead(last)) is not None:
            if not ahead.is_read.is_set():
                await ahead.is_read.wait()
            if ahead.found is None or self._work is not work or not await work(ahead.found):
                return
            last = ahead.found.last

    def _page_ahead(self, last: Checkpoint) -> Ahead | None:
        return next((one for one in self._ahead if one.after == last.position), None)

    async def _read(self, last: Checkpoint, limit: int) -> Slice | None:
        """The next page; while it is worked on, those after it are read."""
        found: Slice | None = None
        if self._ahead and self._ahead[0].after == last.position:
            ahead = self._ahead[0]
            await ahead.is_read.wait()
            found = ahead.found
            if self._ahead and self._ahead[0] is ahead:
                del self._ahead[0]
        if found is None or found.read > limit:
            self._ahead = []
            page = await self._store.page(last.position, limit)
            if not page:
                return None
            found = self._from_store(last, page)
        self._read_on(self._ahead[-1].found if self._ahead else found)
        return found

    def _read_on(self, before: Slice | None) -> None:
        """Has the page after this one read, if it is known and full, and there is room for another."""
        if self._tasks is None or before is None or len(self._ahead) >= _PAGES_AHEAD:
            return
        if before.read == self._page_events_max and before.fault is None:
            ahead = Ahead(before.last.position, anyio.Event())
            self._ahead.append(ahead)
            self._tasks.start_soon(self._read_ahead, ahead, before.last)

    async def _read_ahead(self, ahead: Ahead, last: Checkpoint) -> None:
        try:
            if page := await self._store.page(last.position, self._page_events_max):
                ahead.found = self._from_store(last, page)
        except Exception as error:
            # Whoever asks for the page will meet it, and deal with it.
            log.debug("a page was not read ahead", store=self._store.url, error=told(error))
        ahead.is_read.set()
        if self._ahead and self._ahead[-1] is ahead:
            self._read_on(ahead.found)

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
        names, current, old = self._names, self._schema.by_name, self._schema.upcasters
        read = self._schema.recorded
        for place, stored in enumerate(page):
            try:
                if stored.name in names and stored.name in current:
                    events += read(stored)
                elif self._is_wanted(stored):
                    recorded = read(stored)
                    if stored.name in old:
                        recorded = [one for one in recorded if one.event.__class__ in self._types]
                    events += recorded
            except Unreadable as fault:
                before = last if place == 0 else self._checkpoint(page[place - 1])
                return Slice(events, before, place, None, fault, oldest_at=page[0].recorded_at)
        last = self._checkpoint(page[-1])
        is_live = last.position >= self._feed.head
        return Slice(events, last, len(page), page[-1].recorded_at, None, is_live, page[0].recorded_at)

    def _checkpoint(self, stored: StoredEvent) -> Checkpoint:
        return Checkpoint(stored.position, self._store.identity, stored.stream, stored.version)

    def _is_wanted(self, stored: StoredEvent) -> bool:
        """Whether the event is to be decoded: an unknown one is, unless it can only be another aggregate's business."""
        if stored.name in self._names:
            return True
        return not self._schema.is_readable(stored.name) and category_of(stored.stream) not in self._foreign_categories


def foreign_categories(application: Application, projection: AnyProjection) -> frozenset[str]:
    """Categories whose deciders record nothing that the projection takes."""
    wanted = set(projection.events)
    return frozenset(decider.category for decider in application.deciders if wanted.isdisjoint(decider.events))
