"""The read side: its parts, put together; projectors are started on checked checkpoints."""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, TypeVar

from bus.core.application import Application
from bus.core.errors import ViewsMismatch
from bus.core.limits import Limits
from bus.core.messages import Answer, Query
from bus.core.projection import Projection
from bus.core.stored import Checkpoint
from bus.ports import Clock, EventStore, Telemetry, ViewStore, Waking
from bus.read.following import Following
from bus.read.progress import Progress
from bus.read.projector import Projector, table_of
from bus.read.queries import Queries
from bus.read.reindexing import reindex
from bus.read.watching import watch
from bus.runtime.feed import Feed
from bus.runtime.reply import Reply
from bus.runtime.supervisor import Supervisor

R = TypeVar("R")


class ReadSide:
    """Committed events in, views and answers out."""

    def __init__(
        self,
        application: Application,
        event_store: EventStore,
        view_store: ViewStore,
        feed: Feed,
        *,
        supervisor: Supervisor,
        new_reply: Callable[[], Reply],
        clock: Clock,
        telemetry: Telemetry,
        limits: Limits,
    ) -> None:
        self._application = application
        self._event_store = event_store
        self._view_store = view_store
        self._feed = feed
        self._supervisor = supervisor
        self._new_reply = new_reply
        self._clock = clock
        self._telemetry = telemetry
        self._limits = limits
        self.projectors: Mapping[str, Projector] = {}
        self.progress: Mapping[str, Progress] = {}
        self.queries = Queries(application, view_store, {}, clock=clock, telemetry=telemetry, limits=limits)

    async def open(self) -> None:
        """Checks that the views belong to the event store and makes a projector for each projection."""
        projections = self._application.projections
        checkpoints = await self._view_store.prepare([table_of(projection) for projection in projections])
        for projection in projections:
            await self._check(projection, checkpoints[table_of(projection)])
        for projection in projections:
            await reindex(projection, self._view_store, self._limits)
        self.projectors = {
            projection.name: Projector(
                self._application,
                projection,
                checkpoints[table_of(projection)],
                event_store=self._event_store,
                view_store=self._view_store,
                feed=self._feed,
                clock=self._clock,
                telemetry=self._telemetry,
                new_reply=self._new_reply,
                limits=self._limits,
            )
            for projection in projections
        }
        self.progress = {name: projector.progress for name, projector in self.projectors.items()}
        self.queries = Queries(
            self._application,
            self._view_store,
            self.progress,
            clock=self._clock,
            telemetry=self._telemetry,
            limits=self._limits,
        )

    def start(self) -> None:
        """Starts the projectors, and what tells them of events that other processes append."""
        if self._event_store.shared and isinstance(self._event_store, Waking):
            # Without a projector too: other processes' projectors hear of this one's events by it.
            following = Following(self._event_store, self._feed, self._limits)
            self._supervisor.start("following", following.run)
        for name, projector in self.projectors.items():
            self._supervisor.start(f"projector {name}", projector.run)

    def close(self) -> None:
        """Tells everybody who still waits that nothing more will come; called when the projectors have ended."""
        self.queries.close()
        for progress in self.progress.values():
            if progress.stopped is None:
                progress.stop(progress.position + 1, "the bus was closed")

    async def _check(self, projection: Projection[Any, Any], checkpoint: Checkpoint) -> None:
        """Refuses views that were made from another event store, or from one that has since lost events."""
        if checkpoint.position == 0:
            return
        why = None
        if checkpoint.store_id != self._event_store.identity:
            why = "they were made from another event store"
        else:
            page = await self._event_store.page(checkpoint.position - 1, 1)
            if not page:
                why = (
                    f"they are at position {checkpoint.position}, but the event store ends at {self._feed.head}: it "
                    "was restored from a backup, or its storage has lost what it had recorded since"
                )
            elif (page[0].stream, page[0].version) != (checkpoint.stream, checkpoint.version):
                why = (
                    f"the event at position {checkpoint.position} is version {page[0].version} of {page[0].stream!r}, "
                    f"but they were made from version {checkpoint.version} of {checkpoint.stream!r}"
                )
        if why is not None:
            raise ViewsMismatch(
                f"the views of projection {projection.name!r} in {self._view_store.url} do not belong to "
                f"{self._event_store.url}: {why}. Once that is understood, rebuild them: remove the views (they hold "
                "nothing that the events do not), or raise the projection's version",
                store=self._view_store.url,
                projection=projection.name,
            )

    def watch(self, query: Query[R]) -> AsyncGenerator[Answer[R]]:
        """See `Bus.watch`."""
        return watch(
            query,
            self.queries,
            self.progress,
            new_reply=self._new_reply,
            clock=self._clock,
            limits=self._limits,
        )
