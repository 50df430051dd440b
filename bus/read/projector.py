"""Projector: the actor of one projection; folds batches and commits views with their checkpoint, while it may."""

from collections.abc import Callable, Mapping
from datetime import datetime

import anyio.lowlevel

from bus.core.batches import AnyProjection
from bus.core.errors import ProjectionStopped, StoreUnavailable, Unusable, ViewsDropped
from bus.core.letters import Request
from bus.core.messages import Event, Recorded
from bus.core.reports import Projected
from bus.core.stored import Checkpoint, Claim, ViewTable, dropped
from bus.read.batches import writing_of
from bus.read.folding import Poisoned, StaleShape
from bus.read.lately import BUILD_WINDOW_S, WINDOW_S, Lately
from bus.read.pacing import Pace
from bus.read.progress import Progress
from bus.read.requests import Requests
from bus.read.services import Services
from bus.read.setbacks import Setbacks
from bus.read.subscription import Subscription, foreign_categories
from bus.read.writing import Attempt, Writing
from bus.runtime.log import log, named, told
from bus.runtime.signal import Signal

_FOREIGN = "its views were made from another event store"


class Projector:
    """Step 8 of a message's journey."""

    def __init__(
        self,
        services: Services,
        projection: AnyProjection,
        table: ViewTable,
        checkpoint: Checkpoint,
        pace: Pace | None = None,
    ) -> None:
        self.projection = projection
        self.table = table
        self.progress = Progress(projection, services.new_reply)
        self.progress.position = checkpoint.position
        self.batches = 0
        self.events = 0
        self.lately = Lately(services.clock.monotonic(), WINDOW_S if pace is None else BUILD_WINDOW_S)
        self._recorded_at: datetime | None = None
        """When the last projected event was recorded."""
        self.on_leave: Callable[[], None] = lambda: None
        """Called when it stopped, or lost its lease."""
        self.on_stop: Callable[[], None] = lambda: None
        """Called when it stopped."""
        self._claim: Claim | None = None
        """The lease under which it projects; None while another process does."""
        self._begun: Claim | None = None
        self._granted = Signal(services.new_reply)
        self._scope = anyio.CancelScope()
        self._checkpoint = checkpoint
        self._services = services
        self._limits = services.limits
        self._view_store = services.view_store
        self._writing: Writing = writing_of(services, projection, table, self.progress.begin)
        self._pace = pace
        """Where it builds beside what answers; else it works as fast as it can."""
        self._is_closed = False
        self._is_paused = False
        self._resumed = Signal(services.new_reply)
        self._setbacks = Setbacks(services, projection.name)
        self._uncertain: Attempt | None = None
        """What failed to be committed in a way that leaves open whether it happened."""
        self._is_refused = False
        """Whether that, repeated, was refused: perhaps because it had happened."""
        self._subscription = Subscription(
            checkpoint,
            projection.events,
            foreign_categories(services.application, projection),
            store=services.event_store,
            schema=services.application.schema,
            feed=services.feed,
            new_reply=services.new_reply,
            limits=services.limits,
        )
        if pace is not None:
            self._subscription.read_at_most(min(self._limits.rebuild_events_max, self._limits.projection_events_max))

    @property
    def title(self) -> str:
        """Which of the projection's builds it is, in words."""
        return self.table.title

    @property
    def is_building(self) -> bool:
        """Whether it has not answered yet, nor been given up."""
        return self._pace is not None and not self._is_closed

    @property
    def requests(self) -> Requests:
        """What people ask of the projection."""
        return self._writing.requests

    @property
    def parked(self) -> Mapping[str, int]:
        """The keys that have letters, with their numbers, as far as this process knows."""
        return self._writing.parked

    @property
    def is_here(self) -> bool:
        """Whether this process projects, as far as it knows."""
        return self._claim is not None

    def hold(self, claim: Claim) -> None:
        """The lease is this process's: projects from its checkpoint on, or goes on where it has been all along."""
        if self.progress.stopped is None and (self._claim is None or self._claim.epoch != claim.epoch):
            if self._view_store.shared:
                log.info("projection is run here", projection=self.projection.name, epoch=claim.epoch)
            self._claim = claim
            self._scope.cancel()
            self._granted.set()

    def follow(self, checkpoint: Checkpoint) -> None:
        """The lease is another's, who has brought the views to `checkpoint`."""
        if self._claim is not None:
            self._leave()
            self._scope.cancel()
        if self._is_foreign(checkpoint):
            # Its positions mean nothing here.
            if self.progress.stopped is None:
                self._stop(self.progress.position + 1, _FOREIGN)
            return
        self.progress.follow(checkpoint.position)

    def give_up(self, reason: str) -> None:
        """Stops for good: there is nothing left that it could project to."""
        self.progress.stop(self.progress.position + 1, reason)
        self._leave()
        self._scope.cancel()

    @property
    def epoch(self) -> int:
        """That of the lease."""
        return self._claim.epoch if self._claim is not None else 0

    def hurry(self) -> None:
        """Leaves nothing to others any more: what it builds answers now."""
        if self._pace is not None:
            self._pace = None
            self._subscription.read_at_most(self._limits.projection_events_max)
            self.lately = Lately(self._services.clock.monotonic())

    def pause(self) -> None:
        """Begins nothing new until `resume`; what is under way is finished."""
        self._is_paused = True
        self._subscription.interrupt()

    def resume(self) -> None:
        self._is_paused = False
        self._resumed.set()

    def close(self) -> None:
        """Ends `run`, for good: its table is no longer there."""
        self._is_closed = True
        self._claim = None
        if self.progress.stopped is None:
            # Whoever waits for it to catch up waits in vain.
            self.progress.stop(self.progress.position + 1, "its views were dropped")
        self._scope.cancel()
        self._granted.set()
        self._subscription.close()

    async def run(self) -> None:
        """Projects whenever the lease is here; returns only when it stopped and no other process can do better."""
        while not self._is_closed and (self.progress.stopped is None or self._view_store.shared):
            if (claim := self._claim) is None:
                await self._granted.wait()
                continue
            if self._setbacks.losses and claim is not self._begun:
                # Where the store refuses what it has just granted, that is no reason to ask without end.
                await self._setbacks.pause()
                if self._claim is not claim:
                    continue
            # What is under way when the lease is lost is of no use to anybody: it is not even waited for.
            with anyio.CancelScope() as self._scope:
                if claim is not self._begun:
                    self._begin(claim)
                async with anyio.create_task_group() as tasks:
                    self._subscription.read_ahead_in(tasks)
                    await self._project(claim)
                    tasks.cancel_scope.cancel()

    def _begin(self, claim: Claim) -> None:
        """Trusts nothing that it knew: others may have been here."""
        self._begun = claim
        self._checkpoint = claim.checkpoint
        self._uncertain = None
        self._is_refused = False
        self._setbacks.forget()
        self._writing.forget()
        self._subscription.accept(claim.checkpoint)
        if self._is_foreign(claim.checkpoint):
            self._stop(self.progress.position + 1, _FOREIGN)
            return
        self.progress.follow(claim.checkpoint.position)

    def _is_foreign(self, checkpoint: Checkpoint) -> bool:
        return checkpoint.store_id not in ("", self._services.event_store.identity)

    async def _project(self, claim: Claim) -> None:
        while self.progress.stopped is None and self._claim is claim:
            try:
                if self._uncertain is not None:
                    await self._make_certain(self._uncertain)
                else:
                    await self._work(claim)
            except Poisoned as poison:
                await self._poisoned(poison)
            except ViewsDropped:
                self._leave()
            except (StaleShape, Unusable) as error:
                self._stop(self._checkpoint.position + 1, str(error), error)
            except Exception as error:
                await self._unavailable(error)

    def _leave(self) -> None:
        self._claim = None
        self.requests.clear()
        self.on_leave()

    def ask(self, request: Request) -> None:
        """Carries out a request between two batches, unless it is about to."""
        if self.is_here and self.requests.add(request):
            self._subscription.interrupt()

    async def _work(self, claim: Claim) -> None:
        while self._is_paused:
            await self._resumed.wait()
        await self._writing.begin()
        if self.requests.are_waiting:
            changed = await self.requests.step(self._checkpoint, claim.epoch)
            self.progress.advance(self._checkpoint.position, changed)
            if self.requests.are_waiting:
                # Live events have their turn between two steps, but are not waited for.
                self._subscription.interrupt()
        began, position = self._services.clock.monotonic(), self._checkpoint.position
        await self._project_next()
        if self._pace is not None and self._checkpoint.position > position:
            await self._pace.rest(self._services.clock.monotonic() - began, self._checkpoint.position)

    @property
    def last_error(self) -> str | None:
        """What failed last, unless something was committed since."""
        return self._setbacks.last_error

    @property
    def attempts(self) -> int:
        """Failed attempts at the next batch so far."""
        return self._setbacks.attempts

    @property
    def retries(self) -> int:
        """All failed attempts."""
        return self._setbacks.retries

    @property
    def oldest_at(self) -> datetime | None:
        """When the event that comes next was recorded, or else one before it, as far as that is known."""
        position = self.progress.position
        live = self._services.feed.after(position, 1)
        if live:
            return live[0].recorded_at
        return self._subscription.recorded_at(position + 1) or self._recorded_at

    @property
    def has_begun(self) -> bool:
        """Whether this process has projected, or tried to."""
        return self._begun is not None

    async def _project_next(self) -> None:
        batch = await self._subscription.next(self._setbacks.until)
        if batch is None:
            return
        if batch.read == 0:
            assert batch.fault is not None, "a slice holds an event or a fault"
            self._stop(batch.fault.position, str(batch.fault), batch.fault)
            return
        epoch = self._begun.epoch if self._begun is not None else 0
        attempt = await self._writing.attempt(batch, self._checkpoint, epoch)
        if self._pace is None and self._setbacks.until is None:
            # Beside what answers each batch is measured by itself; and after a failure nothing is taken for granted.
            await self._subscription.work_ahead(batch.last, attempt.foresee)
        await self._commit(attempt)
        # Stores that answer at once must not keep the event loop from everybody else while much is to be read.
        await anyio.lowlevel.checkpoint()

    async def _commit(self, attempt: Attempt) -> None:
        is_repeated = self._uncertain is attempt
        self._uncertain = attempt
        self.progress.begin(attempt.changed)
        try:
            owned = await attempt.commit()
        except StoreUnavailable:
            # Certain for this time, which says nothing of an earlier one.
            if not is_repeated:
                self._uncertain = None
            raise
        except Poisoned:
            self._uncertain = None
            raise
        if owned:
            self._advance(attempt)
        elif is_repeated and not self._is_refused:
            # The first may have arrived in between, as the next look at the checkpoint will tell.
            self._is_refused = True
        else:
            self._lose_ownership()

    async def _make_certain(self, attempt: Attempt) -> None:
        """After a commit that failed: looks which checkpoint the store has, before anything is written again."""
        held = {one.table.place: one.checkpoint for one in await self._view_store.builds()}
        if (found := held.get(self.table.place)) is None:
            raise dropped(self.table, self._view_store.url)
        if found == attempt.batch.last:
            self._advance(attempt)
        elif found == self._checkpoint:
            # The identical changes again, since the first may still be on their way: only one of the two can happen.
            await self._commit(attempt)
        else:
            self._lose_ownership()

    def _advance(self, attempt: Attempt) -> None:
        batch = attempt.batch
        self.batches += 1
        self.events += batch.read
        self._recorded_at = batch.recorded_at or self._recorded_at
        self._checkpoint = batch.last
        self._uncertain = None
        self._is_refused = False
        self._setbacks.overcome()
        attempt.done()
        self._subscription.accept(batch.last)
        self.progress.advance(batch.last.position, attempt.changed)
        name, position, ended = self.projection.name, batch.last.position, self._services.clock.monotonic()
        self.lately.add(ended, batch.read)
        self._services.telemetry.projected(
            Projected(name, batch.events, batch.read, position, attempt.started, ended, batch.is_live)
        )

    def _lose_ownership(self) -> None:
        if self._view_store.shared:
            log.warning("projection goes on in another process", projection=self.projection.name)
            self._setbacks.losses += 1
            self._leave()
            return
        self._stop(
            self._checkpoint.position + 1,
            f"its checkpoint in {self._view_store.url} was changed by somebody else; only one bus may project there",
        )

    async def _poisoned(self, poison: Poisoned) -> None:
        failure = self._setbacks.poisoned(poison, self._checkpoint.position)
        if failure is None:
            await self._setbacks.pause()
            return
        reason = self._writing.park(poison, failure)
        if reason is None:
            self._setbacks.parked(poison)
        else:
            self._stop(poison.position, reason, poison.__cause__, poison.recorded)

    async def _unavailable(self, error: Exception) -> None:
        """A store failed, not the projection: it is tried again for as long as the bus is open."""
        self._writing.forget_views()
        self._setbacks.unavailable(error, self._checkpoint.position)
        await self._setbacks.pause()

    def _stop(
        self, position: int, reason: str, error: BaseException | None = None, recorded: Recorded[Event] | None = None
    ) -> None:
        log.error(
            "projection stopped",
            code=ProjectionStopped.code,
            projection=self.projection.name,
            position=position,
            error=reason if error is None else told(error),
            **named(recorded),
        )
        self._setbacks.last_error = reason
        self.progress.stop(position, reason)
        self._leave()
        self.on_stop()
