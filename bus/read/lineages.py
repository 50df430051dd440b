"""Lineages: opens the builds that the view store has, brings new ones to answer, and drops what they replaced."""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

import anyio

from bus.core.builds import ANSWERING, BUILDING, REPLACED, Build
from bus.core.errors import BusClosed, BusError, NotProjected, ViewsDropped, ViewsMismatch
from bus.core.letters import Request
from bus.core.projection import Projection
from bus.core.stored import Checkpoint, ViewTable, table_of
from bus.read.checking import check_views, say_left_alone
from bus.read.leases import Leases
from bus.read.lineage import Lineage, is_later
from bus.read.pacing import Pace
from bus.read.projector import Projector
from bus.read.rebuilding import Rebuilding
from bus.read.reindexing import reindex
from bus.read.services import Services
from bus.read.switching import switch
from bus.runtime.log import log, told
from bus.runtime.reply import Reply
from bus.runtime.signal import Signal
from bus.runtime.supervisor import backoff_s

Start = Callable[[str, Callable[[], Awaitable[None]]], None]
"""Runs a task under a name."""


class Lineages:
    """Keeps what this process does in step with the builds in the view store, which others change too."""

    def __init__(self, services: Services, leases: Leases, start: Start) -> None:
        self._services = services
        self._store = services.view_store
        self._limits = services.limits
        self._leases = leases
        self._start = start
        self.lineages: Mapping[str, Lineage] = {
            one.name: Lineage(one, services.new_reply) for one in services.application.projections
        }
        self.on_answer: Callable[[Request], None] = lambda _: None
        """Called with each request that was answered here."""
        self.on_stop: Callable[[], None] = lambda: None
        """Called when one of the projections stopped here."""
        self._rebuilding = Rebuilding(services)
        self._rebuilding.on_ask = self.look_again
        self._rebuilding.on_answer = self._answered
        self._signal = Signal(services.new_reply)
        self._waiting: list[Reply] = []
        """Who waits until nothing is being built here."""
        self._asking: list[Reply] = []
        """Who waits for a look that begins after they came."""
        self._is_over = False
        """Whether no look begins any more."""
        self._failures = 0
        self._refused: set[tuple[str, int, int]] = set()
        """Places of builds that are of another event store."""
        self._is_started = False
        self._is_unclaimed = False
        """Whether there are projectors whose leases have not been asked for yet."""
        self._is_closed = False
        leases.on_drop = self.look_again

    def _answered(self, request: Request) -> None:
        self.on_answer(request)

    def _stopped(self) -> None:
        self.on_stop()

    def look_again(self) -> None:
        """Does not wait for the next look: something has changed."""
        self._signal.set()

    def heard(self) -> None:
        """Other processes have changed something in the view store."""
        # Views change all the time; which builds there are is of interest while there are several.
        if any(len(lineage.builds) > 1 for lineage in self.lineages.values()):
            self.look_again()

    async def open(self) -> None:
        """Makes room for what is new, and a projector for each build; raises a subclass of `Unusable`."""
        # Once, unless other processes drop meanwhile what there was.
        while missing := [lineage for lineage in self.lineages.values() if not lineage.builds]:
            await self._make_room(missing)
            builds = await self._store.builds()
            for lineage in missing:
                await self._open(lineage, lineage.known(builds))
        for lineage in self.lineages.values():
            lineage.adopt(lineage.projectors[lineage.choose().table.place])
            lineage.is_watched = len(lineage.builds) > 1

    async def _make_room(self, lineages: Sequence[Lineage]) -> None:
        builds = await self._store.builds()
        fresh: list[ViewTable] = []
        for lineage in lineages:
            known, table = lineage.known(builds), table_of(lineage.projection)
            if any(one.table.version == table.version for one in known):
                continue
            if any(one.checkpoint.position > 0 and one.state != BUILDING for one in known):
                log.info("views are built anew", projection=lineage.name, version=table.version)
                await self._store.build(table, self._services.clock.now())
            else:
                fresh.append(table)
        await self._store.prepare(fresh)

    async def _open(self, lineage: Lineage, builds: Sequence[Build]) -> None:
        """Takes note of the builds, and makes projectors for those that are new here."""
        new = [lineage.named(one.table) for one in builds if one.table.place not in lineage.projectors]
        # Not made anew where they were dropped meanwhile.
        checkpoints: Mapping[ViewTable, Checkpoint] = await self._store.known(new) if new else {}
        opened: list[Projector] = []
        for build in builds:
            table = lineage.named(build.table)
            if table not in checkpoints:
                continue
            try:
                made = await self._make(lineage, build, table, checkpoints[table])
            except ViewsMismatch as error:
                if not self._is_started:
                    raise
                if table.place not in self._refused:
                    self._refused.add(table.place)
                    say_left_alone(table, error)
                continue
            if made is not None:
                opened.append(made)
        lineage.builds = {one.table.place: one for one in builds if one.table.place in lineage.projectors}
        if self._is_started:
            for projector in opened:
                self._is_unclaimed = True
                self._run(lineage, projector)
        if self._is_unclaimed:
            # Also where that failed at the last look, since nobody else asks in a store that is not shared.
            await self._leases.look()
            self._is_unclaimed = False

    async def _make(self, lineage: Lineage, build: Build, table: ViewTable, checkpoint: Checkpoint) -> Projector | None:
        """A projector for a table; None where that was dropped meanwhile."""
        projection = lineage.version(table.version)
        assert projection is not None, "only known versions are opened"
        await check_views(self._services, table, checkpoint)
        try:
            if isinstance(projection, Projection):
                await reindex(projection, table, self._store, self._limits)
        except ViewsDropped:
            return None
        pace = Pace(self._services) if build.state == BUILDING else None
        projector = Projector(self._services, projection, table, checkpoint, pace)
        lineage.projectors[table.place] = projector
        projector.requests.on_answer = self._answered
        projector.on_stop = self._stopped
        self._leases.add(projector)
        return projector

    def start(self) -> None:
        """Starts the projectors, and looks after their builds from now on."""
        self._is_started = True
        for lineage in self.lineages.values():
            for projector in lineage.projectors.values():
                self._run(lineage, projector)
        if self.lineages:
            self._start("builds", self.run)

    def _run(self, lineage: Lineage, projector: Projector) -> None:
        self._start(f"projector {lineage.name} {projector.title}", projector.run)
        if projector.is_building:
            self._start(f"switch to {lineage.name} {projector.title}", partial(self._bring, lineage, projector))

    async def _bring(self, lineage: Lineage, projector: Projector) -> None:
        """Waits until a build has caught up, and lets it answer, unless a later one does by then."""
        while projector.is_building:
            limits, answers = self._limits, lineage.progress
            if is_later(lineage.answers.table, projector.table):
                # It is dropped.
                self.look_again()
                return
            try:
                # Where it is the first one, what is recorded is what there is to catch up with.
                end = self._services.feed.head if lineage.answers is projector else answers.position
                await projector.progress.wait(end)
                near = answers.position - projector.progress.position <= limits.projection_events_max
                if near and projector.is_here and await switch(self._services, lineage, projector):
                    self.look_again()
                    return
                if near:
                    await anyio.sleep(limits.poll_interval_s)
            except NotProjected:
                # Another process may do better, or people may drop it.
                self.look_again()
                await anyio.sleep(limits.poll_interval_s)
            except Exception as error:
                log.warning("views cannot be switched to", projection=lineage.name, error=told(error))
                await anyio.sleep(limits.projection_backoff_max_s)

    async def run(self) -> None:
        """Looks again and again, for as long as the bus is open."""
        pause_s = self._limits.poll_interval_s if self._store.shared else math.inf
        # Where there are several builds of a projection there may be something to do at once.
        self.heard()
        self._is_over = False
        try:
            while True:
                await self._signal.wait(anyio.current_time() + pause_s)
                asking, self._asking = self._asking, []
                try:
                    pause_s = await self._look(asking)
                    self._failures = 0
                except Exception as error:
                    _tell(asking, error)
                    self._failures += 1
                    log.warning("builds cannot be looked at", store=self._store.url, error=told(error))
                    limits = self._limits
                    pause_s = backoff_s(limits.projection_backoff_s, limits.projection_backoff_max_s, self._failures)
                finally:
                    # Also where it was cut off.
                    _tell(asking, None)
        finally:
            self._end()

    def _end(self) -> None:
        self._is_over = True
        asking, self._asking = self._asking, []
        _tell(asking, None)

    async def refresh(self) -> None:
        """Returns after a look that began since the call, for who has found that something has changed.

        Whoever gives up meanwhile leaves it undisturbed. Raises what the view store raises, and `BusClosed`.
        """
        if not self._is_over:
            reply = self._services.new_reply()
            self._asking.append(reply)
            self._signal.set()
            failure: Exception | None = await reply
            if failure is not None:
                raise failure.copy() if isinstance(failure, BusError) else failure
        if self._is_over:
            raise BusClosed("the bus was closed while other views were looked for. Ask inside its `async with` block")

    async def _look(self, asking: Sequence[Reply]) -> float:
        """Acts on what the view store has; returns after how many seconds there may be more to do."""
        builds = await self._store.builds()
        pause_s = self._limits.poll_interval_s if self._store.shared else math.inf
        failure: Exception | None = None
        for lineage in self.lineages.values():
            try:
                pause_s = min(pause_s, await self._tend(lineage, lineage.known(builds)))
            except Exception as error:
                # Such as a drop that waits for readers, which is no reason to leave the other projections alone.
                failure = failure or error
        if not self.busy():
            self._wake()
        # What could not be done is tried again, and is not theirs.
        _tell(asking, None)
        if failure is not None:
            raise failure
        return pause_s

    def _wake(self) -> None:
        for reply in self._waiting:
            if not reply.is_done:
                reply.set_result(None)

    def close(self) -> None:
        """Nothing more will be built; told to who waits for it."""
        self._is_closed = True
        # Also where the task was ended before it began.
        self._end()
        self._wake()

    async def _tend(self, lineage: Lineage, builds: Sequence[Build]) -> float:
        await self._open(lineage, builds)
        is_adopted = self._adopt(lineage, are_gone=not builds)
        for place, projector in list(lineage.projectors.items()):
            if place not in lineage.builds and projector is not lineage.answers:
                self._close(lineage, projector)
        if await self._rebuilding.carry_out(lineage, self):
            self.look_again()
        pause_s = await self._tidy(lineage) if lineage.answers.is_here else math.inf
        return pause_s if is_adopted else min(pause_s, self._limits.poll_interval_s)

    async def reload(self, lineage: Lineage) -> None:
        """Takes note of what this process has just changed in the view store."""
        builds = lineage.known(await self._store.builds())
        await self._open(lineage, builds)
        self._adopt(lineage, are_gone=not builds)

    def _adopt(self, lineage: Lineage, *, are_gone: bool) -> bool:
        """Lets that build answer which the view store says is to, once it has what was answered from before.

        Whether it does.
        """
        before = lineage.answers
        if not lineage.builds:
            # Unless those that were found have been dropped since, for others that the next look will find.
            if are_gone and before.progress.stopped is None:
                before.give_up("its views were dropped")
            return are_gone
        for place, build in lineage.builds.items():
            one = lineage.projectors[place]
            if not one.is_here and build.checkpoint.position > one.progress.position:
                # Looked at later than the leases were.
                one.follow(build.checkpoint)
        chosen = lineage.choose()
        projector = lineage.projectors[chosen.table.place]
        if chosen.state != BUILDING:
            projector.hurry()
        if is_new := projector is not before and lineage.may_adopt(projector):
            lineage.adopt(projector)
            log.info("projection answers from other views", projection=lineage.name, views=projector.title)
        lineage.is_watched = len(lineage.builds) > 1 or projector is not lineage.answers
        return is_new or projector is before

    async def _tidy(self, lineage: Lineage) -> float:
        """Drops what was replaced long ago; returns how long the next has to stay."""
        answers, now, pause_s = lineage.answers, self._services.clock.now(), math.inf
        for build in list(lineage.builds.values()):
            if build.table.place == answers.table.place:
                continue
            is_earlier = is_later(answers.table, build.table)
            if build.state == BUILDING and is_earlier:
                # Such as one that was under way when the version was raised.
                await self.drop(lineage, lineage.projectors[build.table.place])
            elif build.state == ANSWERING and is_earlier:
                # Nobody said that the one took the place of the other, when its version was raised.
                if await self._store.switch(answers.table, answers.epoch, lineage.named(build.table), now):
                    self.look_again()
                pause_s = min(pause_s, self._limits.poll_interval_s)
            elif build.state == REPLACED and build.since is not None:
                left_s = (build.since - now).total_seconds() + self._limits.replaced_grace_s
                if left_s > 0:
                    pause_s = min(pause_s, left_s)
                else:
                    await self.drop(lineage, lineage.projectors[build.table.place])
        return pause_s

    async def drop(self, lineage: Lineage, projector: Projector) -> bool:
        """Drops a build; false where it answers."""
        self._close(lineage, projector)
        is_dropped = await self._store.drop(projector.table)
        if is_dropped:
            log.info("views were dropped", projection=lineage.name, views=projector.title)
        lineage.builds.pop(projector.table.place, None)
        return is_dropped

    def _close(self, lineage: Lineage, projector: Projector) -> None:
        del lineage.projectors[projector.table.place]
        self._leases.remove(projector)
        projector.close()

    def ask(self, request: Request) -> bool:
        """Takes a request for whoever runs the projection; false where this process knows nothing of it."""
        lineage = self.lineages.get(request.projection)
        if lineage is None:
            return False
        if lineage.version(request.version) is None:
            if request.version < lineage.projection.version:
                # Perhaps those views are gone, and nobody else will ever answer.
                self._rebuilding.ask(request)
            return False
        if request.action in ("retry", "discard"):
            if (projector := lineage.find(request.version)) is not None:
                projector.ask(request)
            else:
                self._rebuilding.ask(request)
        else:
            self._rebuilding.ask(request)
        return True

    def busy(self) -> list[str]:
        """What is being built here, in words."""
        building = [(name, lineage.building or lineage.coming) for name, lineage in self.lineages.items()]
        return [f"{name} {one.title}" for name, one in building if one is not None and one.is_here]

    async def wait_built(self) -> None:
        """Returns when nothing is being built here any more."""
        while self.busy() and not self._is_closed:
            reply = self._services.new_reply()
            self._waiting.append(reply)
            try:
                await reply
            finally:
                self._waiting.remove(reply)


def _tell(asking: Iterable[Reply], outcome: Exception | None) -> None:
    for reply in asking:
        if not reply.is_done:
            reply.set_result(outcome)
