"""The read side: its parts, put together; projectors are started on checked checkpoints."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import TypeVar
from uuid import uuid4

import anyio

from bus.core.batches import AnyProjection, BatchProjection
from bus.core.errors import DefinitionError, ViewsMismatch
from bus.core.letters import Action, After, DeadLetter, Request
from bus.core.messages import Answer, Query
from bus.core.projection import Projection
from bus.core.stored import Checkpoint, table_of
from bus.ports import Waking
from bus.read.batches import set_up
from bus.read.desk import Desk
from bus.read.following import Following
from bus.read.leases import Leases
from bus.read.progress import Progress, wait_for_any
from bus.read.projector import Projector
from bus.read.queries import Queries, check_parked
from bus.read.reindexing import reindex
from bus.read.services import Services
from bus.read.watching import watch
from bus.runtime.log import log, told
from bus.runtime.supervisor import Supervisor

R = TypeVar("R")


class ReadSide:
    """Committed events in, views and answers out."""

    def __init__(self, services: Services, *, supervisor: Supervisor, owner: str) -> None:
        self._services = services
        self._application = services.application
        self._event_store = services.event_store
        self._view_store = services.view_store
        self._limits = services.limits
        self._supervisor = supervisor
        self._owner = owner
        self.projectors: Mapping[str, Projector] = {}
        self.progress: Mapping[str, Progress] = {}
        self.queries = Queries(services, {})

    async def open(self) -> None:
        """Checks that the views belong to the event store and makes a projector for each projection."""
        projections = self._application.projections
        await set_up(self._services)
        checkpoints = await self._view_store.prepare([table_of(projection) for projection in projections])
        for projection in projections:
            await self._check(projection, checkpoints[table_of(projection)])
        for projection in self._application.view_projections:
            await reindex(projection, self._view_store, self._limits)
        self.projectors = {
            projection.name: Projector(
                self._services, projection, table_of(projection), checkpoints[table_of(projection)]
            )
            for projection in projections
        }
        self._leases = Leases(self._services, self.projectors.values(), self._owner)
        try:
            await self._leases.look()
            # A projection that parks no more may have letters from when it did.
            left = [one.name for one in projections if await self._view_store.parked(table_of(one))]
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.release()
            raise
        self.desk = Desk(self._services, self.projectors.values())
        self.progress = {name: projector.progress for name, projector in self.projectors.items()}
        self.queries = Queries(self._services, self.progress)
        self.queries.may_park |= frozenset(left)

    def start(self) -> None:
        """Starts the projectors, and what tells them of events and views that other processes commit."""
        start, limits = self._supervisor.start, self._limits
        if self._event_store.shared and isinstance(self._event_store, Waking):
            # Without a projector too: other processes' projectors hear of this one's events by it. What this process
            # has appended itself is known already, and wakes nobody again.
            start("following events", Following(self._event_store, self._services.feed.learn, limits).run)
        if self.queries.may_park:
            start("desk", self.desk.run)
        if self._view_store.shared:
            start("leases", self._leases.run)
            if isinstance(self._view_store, Waking):
                start("following views", Following(self._view_store, lambda _: self._leases.look_again(), limits).run)
        for name, projector in self.projectors.items():
            start(f"projector {name}", projector.run)

    async def release(self) -> None:
        """Lets other processes project at once; called when the projectors have ended. Bounded, and never raises."""
        with anyio.move_on_after(self._limits.lease_s):
            try:
                await self._leases.release()
            except Exception as error:
                log.warning("leases are left to lapse", store=self._view_store.url, error=told(error))

    def close(self) -> None:
        """Tells everybody who still waits that nothing more will come; called when the projectors have ended."""
        self.queries.close()
        for progress in self.progress.values():
            if progress.stopped is None:
                progress.stop(progress.position + 1, "the bus was closed")

    async def _check(self, projection: AnyProjection, checkpoint: Checkpoint) -> None:
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
                    f"they are at position {checkpoint.position}, but the event store ends at "
                    f"{self._services.feed.head}: it was restored from a backup, or its storage has lost what it had "
                    "recorded since"
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

    def named(self, projections: Sequence[AnyProjection | str], version: int | None = None) -> list[str]:
        """The names of projections, or of one in that version; raises `DefinitionError` for one that there is not."""
        names = [one.name if isinstance(one, Projection | BatchProjection) else one for one in projections]
        unknown = [str(name) for name in names if name not in self.projectors]
        if not unknown and version is not None:
            unknown = [f"{name} version {version}" for name in names if self.projectors[name].table.version != version]
        if unknown:
            raise DefinitionError(f"the application has no projection {', '.join(unknown)}")
        return names

    async def letters(self, name: str, key: str | None) -> AsyncGenerator[DeadLetter]:
        """The projection's letters, by position and key."""
        table, after = self.projectors[name].table, (0, "")
        while True:
            page = await self._view_store.letters(table, key, after=after, limit=self._limits.page_events_max)
            for letter in page:
                yield letter
                after = letter.position, letter.key
            if len(page) < self._limits.page_events_max:
                return

    async def request(
        self,
        name: str,
        action: Action,
        *,
        key: str | None,
        timeout: float,
        position: int | None = None,
        reason: str = "",
    ) -> Request:
        """See `Desk.carry_out`."""
        request = Request(
            id=str(uuid4()),
            projection=name,
            version=self.projectors[name].table.version,
            action=action,
            key=key,
            position=position,
            reason=reason,
            asked_at=self._services.clock.now(),
        )
        return await self.desk.carry_out(request, self._services.clock.monotonic() + timeout)

    async def wait(self, names: Iterable[str], after: After, deadline: float) -> None:
        """Returns when these projections have committed what is waited for, each as soon as it has parked none of it.

        Raises a subclass of `NotProjected` as soon as that is out of reach for one of them.
        """
        waiting = set(names)
        while True:
            for name in [name for name in waiting if self.progress[name].position >= after.position]:
                if name in self.queries.may_park:
                    async with self._view_store.snapshot() as reader:
                        await check_parked(reader, self.projectors[name].projection, after)
                waiting.remove(name)
            if not waiting:
                return
            await wait_for_any([self.progress[name] for name in sorted(waiting)], after.position, deadline)

    def watch(self, query: Query[R]) -> AsyncGenerator[Answer[R]]:
        """See `Bus.watch`."""
        services = self._services
        return watch(
            query,
            self.queries,
            self.progress,
            new_reply=services.new_reply,
            clock=services.clock,
            limits=services.limits,
        )
