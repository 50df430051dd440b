"""OpenBus: the parts of a bus while it is open; started together, settled, and closed in order."""

from contextlib import AsyncExitStack

import anyio
import msgspec

from bus.core.application import Application
from bus.core.errors import ProjectionStopped
from bus.core.limits import Limits
from bus.core.statistics import ShutdownReport, Statistics
from bus.ports import Clock, EventStore, Ids, Telemetry, ViewStore
from bus.read.lag import behind_of
from bus.read.progress import wait_for_all
from bus.read.projector import Projector
from bus.read.services import Services
from bus.read.side import ReadSide
from bus.runtime.feed import Feed
from bus.runtime.ids import owner_name
from bus.runtime.log import log, told
from bus.runtime.reply import reply_factory
from bus.runtime.supervisor import Supervisor
from bus.write.side import WriteSide


class OpenBus:
    """One opening of a bus. `stack` holds the open stores and is closed with it."""

    def __init__(
        self,
        application: Application,
        event_store: EventStore,
        view_store: ViewStore,
        *,
        stack: AsyncExitStack,
        clock: Clock,
        ids: Ids,
        telemetry: Telemetry,
        limits: Limits,
    ) -> None:
        self._stack = stack
        self._application = application
        self._event_store = event_store
        self._view_store = view_store
        self._limits = limits
        self._telemetry = telemetry
        self._tasks = anyio.create_task_group()
        self._supervisor = Supervisor(self._tasks, limits, telemetry)
        self.clock = clock
        self.new_reply = reply_factory()
        self.feed = Feed(limits.feed_events_max)
        self.report: ShutdownReport | None = None
        self._last: int | None = None
        """The last position that this bus had to reach when it was closed; None while nobody knows."""
        self.write = WriteSide(
            application,
            event_store,
            self.feed,
            supervisor=self._supervisor,
            new_reply=self.new_reply,
            clock=clock,
            ids=ids,
            telemetry=telemetry,
            limits=limits,
        )
        services = Services(
            application=application,
            event_store=event_store,
            view_store=view_store,
            feed=self.feed,
            clock=clock,
            telemetry=telemetry,
            new_reply=self.new_reply,
            limits=limits,
        )
        self.read = ReadSide(services, supervisor=self._supervisor, owner=owner_name())

    async def start(self) -> None:
        """Checks the stores against the application and each other, then starts the tasks of both sides."""
        categories = {decider.category for decider in self._application.deciders}
        self._application.schema.check_stored(await self._event_store.names(), categories)
        self.feed.advance(await self._event_store.head())
        await self.read.open()
        await self._tasks.__aenter__()
        self.write.start()
        self.read.start()
        self._telemetry.opened(self.statistics, self.clock)
        log.info(
            "bus opened",
            event_store=self._event_store.url,
            view_store=self._view_store.url,
            position=self.feed.head,
            deciders=[decider.category for decider in self._application.deciders],
            projections=[f"{one.name} v{one.version}" for one in self._application.projections],
            limits=msgspec.structs.asdict(self._limits),
        )

    async def close(self) -> None:
        """Finishes what is in flight, up to a deadline; answers and reports what it could not finish."""
        self.write.intake.is_open = False
        try:
            # Of a bus whose tasks were ended from outside nothing more is to be expected.
            patience_s = 0.0 if self._supervisor.is_broken else self._limits.shutdown_timeout_s
            with anyio.move_on_after(patience_s, shield=True):
                await self.settle(closing=True)
                # What others record from now on is theirs to project.
                self._last = self.feed.head
        except Exception as error:
            # A store that fails now keeps nothing from being taken apart.
            log.warning("bus closes unsettled", error=told(error))
        finally:
            await self._end()

    async def _end(self) -> None:
        self._telemetry.closed()
        # What begins to be watched now would find nobody to answer it.
        self.read.queries.close()
        self._supervisor.stop()
        self._tasks.cancel_scope.cancel()
        try:
            # An exception of the body is not handed to the group, which would wrap it in one of its own.
            await self._tasks.__aexit__(None, None, None)
        finally:
            ours = [one for one in self.read.projectors.values() if one.is_here or one.progress.stopped is not None]
            behind = {one.progress.name: self._behind(one) for one in ours}
            self.report = ShutdownReport(
                commands=self.write.abandon(), projections={name: count for name, count in behind.items() if count}
            )
            self.read.close()
            say = log.info if self.report.is_clean else log.warning
            what = "bus closed" if self.report.is_clean else "bus closed with work left"
            say(what, position=self.feed.head, commands=self.report.commands, projections=self.report.projections)
            with anyio.CancelScope(shield=True):
                await self.read.release()
                await self._stack.aclose()

    async def settle(self, *, closing: bool = False) -> None:
        """Waits until nothing is under way; when closing, only for the projections that are run here.

        Raises `ProjectionStopped`, save when closing.
        """
        while True:
            if not closing:
                for progress in self.read.progress.values():
                    progress.check(self.feed.head)
            await self.write.intake.wait_idle()
            await self.write.snapshots.wait_idle()
            if self._event_store.shared or self.write.doubt is not None:
                await self.write.find_end()
            head = self.feed.head
            projectors = self.read.projectors
            waiting = [one for name, one in self.read.progress.items() if projectors[name].is_here or not closing]
            try:
                await wait_for_all(waiting, head)
            except ProjectionStopped:
                if not closing:
                    raise
                continue
            if self.write.busy or self.write.doubt is not None or self.feed.head != head:
                continue
            if closing or not self.read.lineages.busy():
                return
            await self.read.lineages.wait_built()

    def busy(self) -> list[str]:
        """Who still works, in words."""
        names = [f"commands in flight ({self.write.busy})"] if self.write.busy else []
        names += [f"mailbox of {stream}" for stream in self.write.streams_with_mail[:10]]
        if self.write.snapshots.busy:
            names.append(f"snapshots ({self.write.snapshots.busy})")
        for projector in self.read.projectors.values():
            behind = self._behind(projector)
            if behind:
                names.append(f"projection {projector.progress.name} ({behind} events behind)")
        names += [f"views being built: {title}" for title in self.read.lineages.busy()]
        if not names and (self._event_store.shared or self.write.doubt is not None):
            # Then it is the store that has not said yet where it ends.
            names.append(f"event store {self._event_store.url}")
        return names

    def statistics(self) -> Statistics:
        """The bus at this moment."""
        write = self.write
        projections = tuple(self.read.statistics(self._end_of_store))
        return Statistics(
            commands_in_flight=write.busy,
            mailboxes=write.mailboxes,
            residents=len(write.directory.actors),
            passivated=write.directory.passivated,
            recovered=write.recovery.recovered,
            turns=write.dispatcher.turns,
            batches=write.commit.batches,
            commands=write.commit.commands,
            events=write.commit.events,
            expired=write.deadlines.expired,
            restarts=self._supervisor.restarts,
            snapshots=write.snapshots.written,
            snapshot_failures=write.snapshots.failures,
            snapshots_ignored=write.recovery.snapshots_ignored,
            snapshot_error=write.snapshots.last_error or write.recovery.snapshot_error,
            position=self.feed.head,
            projections=projections,
            dead_letters=sum([one.dead_letters for one in projections]),
            caches=self.read.answers.statistics(),
            watchers=self.read.watching.readers,
            watched=self.read.watching.queries,
        )

    @property
    def _end_of_store(self) -> int:
        return self.feed.head if self._last is None else self._last

    def _behind(self, projector: Projector) -> int:
        return behind_of(projector, self._end_of_store)
