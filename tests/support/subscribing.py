"""What tests of subscriptions share: a store, a feed and a reader of deposits."""

from collections.abc import Sequence
from datetime import UTC, datetime

import anyio

from bus import Event, Limits, MemoryEventStore, Recorded
from bus.core.stored import Append, Checkpoint, NewEvent
from bus.read.subscription import Slice, Subscription
from bus.runtime.feed import Feed
from bus.runtime.reply import reply_factory
from tests.support.ledger import LEDGER, Deposited

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
DEPOSITED = NewEvent("deposited", b'{"$type":"deposited","amount":1}')
NOTE_WRITTEN = NewEvent("note-written", b'{"$type":"note-written"}')


class Bench:
    """A store, a feed and one subscription to deposits."""

    def __init__(self, *, shared: bool = False, feed_events_max: int = 100, **limits: float) -> None:
        self.store = MemoryEventStore(shared=shared)
        self.feed = Feed(feed_events_max)
        self.limits = Limits(**limits)  # type: ignore[arg-type]
        self._versions: dict[str, int] = {}

    def subscription(self, after: int = 0, *, foreign: frozenset[str] = frozenset({"note"})) -> Subscription:
        return Subscription(
            Checkpoint(after),
            [Deposited],
            foreign,
            store=self.store,
            schema=LEDGER.schema,
            feed=self.feed,
            new_reply=reply_factory(),
            limits=self.limits,
        )

    async def append(self, *events: NewEvent, stream: str = "account-a", publish: bool = True) -> int:
        """Appends as a bus would (or, if it is not published, another writer); returns the last position."""
        version = self._versions.get(stream, 0)
        entry = Append(stream, version, events, f"{stream} {version}", b"")
        appended = await self.store.append([entry], NOON)
        self._versions[stream] = version + len(events)
        if publish:
            await self.publish(appended.position_before, len(events))
        return appended.position_before + len(events)

    async def publish(self, before: int, count: int) -> None:
        self.feed.publish(
            before,
            [recorded for one in await self.store.page(before, count) for recorded in LEDGER.schema.recorded(one)],
        )


def positions(events: Sequence[Recorded[Event]]) -> list[int]:
    return [one.position for one in events]


async def take(subscription: Subscription) -> Slice:
    """The next slice, or a failed test where it does not come."""
    with anyio.fail_after(60):
        found = await subscription.next()
    assert found is not None
    return found
