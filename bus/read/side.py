"""The read side: its parts, put together; projectors are started on checked checkpoints."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from uuid import uuid4

import anyio

from bus.core.batches import AnyProjection, BatchProjection
from bus.core.builds import to_drop
from bus.core.errors import DefinitionError, ViewsDropped
from bus.core.letters import Action, After, DeadLetter, Request
from bus.core.projection import Projection
from bus.core.statistics import ProjectionStatistics
from bus.core.stored import ViewTable
from bus.ports import Waking
from bus.read.answers import Answers
from bus.read.batches import set_up
from bus.read.desk import Desk
from bus.read.following import Following
from bus.read.lag import statistics_of
from bus.read.leases import Leases
from bus.read.lineages import Lineages
from bus.read.progress import wait_for_any
from bus.read.projector import Projector
from bus.read.queries import Queries, check_parked
from bus.read.services import Services
from bus.read.telling import Telling
from bus.read.watching import Watching
from bus.runtime.log import log, told
from bus.runtime.supervisor import Supervisor


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
        self._leases = Leases(services, owner)
        self.lineages = Lineages(services, self._leases, supervisor.start)
        self.progress = {name: lineage.progress for name, lineage in self.lineages.lineages.items()}
        """Of what answers, by projection."""
        self.queries = Queries(services, self.lineages.lineages, self.lineages.refresh)
        self.desk = Desk(services, self.lineages)
        self._telling = Telling(services, self.lineages.lineages, owner)
        self.lineages.on_stop = self._telling.look_again
        self.answers = Answers(services, self.queries, self.progress)
        self.watching = Watching(services, self.queries, self.answers, self.progress, supervisor)

    @property
    def projectors(self) -> Mapping[str, Projector]:
        """Of what answers, by projection."""
        return {name: lineage.answers for name, lineage in self.lineages.lineages.items()}

    async def open(self) -> None:
        """Checks that the views belong to the event store and makes a projector for each build of a projection."""
        await set_up(self._services)
        await self.lineages.open()
        try:
            await self._leases.look()
            # A projection that parks no more may have letters from when it did.
            left = [name for name, one in self.projectors.items() if await self._may_have_letters(one.table)]
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.release()
            raise
        self.queries.may_park |= frozenset(left)

    async def _may_have_letters(self, table: ViewTable) -> bool:
        try:
            return bool(await self._view_store.parked(table))
        except ViewsDropped:
            # Another process has just done that, and what answers now is looked at with each answer.
            return True

    def start(self) -> None:
        """Starts the projectors, and what tells them of events and views that other processes commit."""
        start, limits = self._supervisor.start, self._limits
        if self._event_store.shared and isinstance(self._event_store, Waking):
            # Without a projector too: other processes' projectors hear of this one's events by it. What this process
            # has appended itself is known already, and wakes nobody again.
            start("following events", Following(self._event_store, self._services.feed.learn, limits).run)
        if self.progress:
            start("desk", self.desk.run)
            start("telling", self._telling.run)
        if self._view_store.shared:
            start("leases", self._leases.run)
            if isinstance(self._view_store, Waking):
                start("following views", Following(self._view_store, self._heard, limits).run)
        self.lineages.start()

    def _heard(self, _: int) -> None:
        self._leases.look_again()
        self.lineages.heard()

    async def release(self) -> None:
        """Lets other processes project at once; called when the projectors have ended. Bounded, and never raises."""
        with anyio.move_on_after(self._limits.lease_s):
            await self._telling.leave()
            try:
                await self._leases.release()
            except Exception as error:
                log.warning("leases are left to lapse", store=self._view_store.url, error=told(error))

    def close(self) -> None:
        """Tells everybody who still waits that nothing more will come; called when the projectors have ended."""
        self.queries.close()
        self.lineages.close()
        self.watching.close()
        for progress in self.progress.values():
            if progress.stopped is None:
                progress.stop(progress.position + 1, "the bus was closed")

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
        named = None
        if action == "drop":
            named = to_drop([one for one in await self._view_store.builds() if one.table.projection == name])
        request = Request(
            id=str(uuid4()),
            projection=name,
            version=self.projectors[name].table.version,
            action=action,
            key=key,
            position=position,
            reason=reason,
            asked_at=self._services.clock.now(),
            to_drop=named,
        )
        return await self.desk.carry_out(request, self._services.clock.monotonic() + timeout)

    def statistics(self, head: int) -> list[ProjectionStatistics]:
        """Of each projection, where the store ends at `head`."""
        return [statistics_of(self._services, lineage, head) for lineage in self.lineages.lineages.values()]

    async def wait(self, names: Iterable[str], after: After, deadline: float) -> None:
        """Returns when these projections have committed what is waited for, each as soon as it has parked none of it.

        Raises a subclass of `NotProjected` as soon as that is out of reach for one of them.
        """
        # In this order, and not in that of a set, which is another one in each process.
        waiting = dict.fromkeys(names)
        while True:
            for name in [name for name in waiting if self.progress[name].position >= after.position]:
                try:
                    if name in self.queries.may_park:
                        # Noted before the snapshot is taken, in which another build may not be as far as that.
                        table = self.queries.table(name)
                        async with self._view_store.snapshot() as reader:
                            await check_parked(reader, table, after)
                    del waiting[name]
                except ViewsDropped:
                    await self._find_others(name, after.position, deadline)
            if not waiting:
                return
            if all(self.progress[name].position >= after.position for name in waiting):
                continue
            await wait_for_any([self.progress[name] for name in sorted(waiting)], after.position, deadline)

    async def _find_others(self, name: str, position: int, deadline: float) -> None:
        """Another process has let other views answer, and has dropped those that this one answers from."""
        if anyio.current_time() >= deadline:
            raise self.progress[name].late(position)
        await self.lineages.refresh()
        if not self.lineages.lineages[name].builds:
            raise self.progress[name].halted(position)
        await anyio.sleep(min(self._limits.poll_interval_s, max(0.0, deadline - anyio.current_time())))
