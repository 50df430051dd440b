"""Projector: the actor of one projection; folds batches and commits views with their checkpoint, while it may."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import anyio.lowlevel
import msgspec

from bus.core.application import Application
from bus.core.errors import ProjectionStopped, StoreUnavailable, Unusable
from bus.core.letters import Request
from bus.core.limits import Limits
from bus.core.messages import Event, Recorded
from bus.core.projection import PARK, Projection
from bus.core.reports import Failed, Projected
from bus.core.schema import Schema
from bus.core.stored import Checkpoint, Claim, ViewChanges, table_of
from bus.ports import Clock, EventStore, Telemetry, ViewStore
from bus.read.folding import Folded, Folding, Poisoned, StaleShape, Touch
from bus.read.parking import Failure, Parking
from bus.read.progress import Progress
from bus.read.replaying import Replaying
from bus.read.requests import Requests
from bus.read.subscription import Slice, Subscription, foreign_categories
from bus.runtime.feed import Feed
from bus.runtime.log import log, named, told
from bus.runtime.reply import Reply, Signal
from bus.runtime.supervisor import backoff_s

_FOREIGN = "its views were made from another event store"


class Attempt(msgspec.Struct, frozen=True):
    """A commit under way."""

    batch: Slice
    folded: Folded
    changes: ViewChanges
    started: float


class Projector:
    """Step 8 of a message's journey."""

    def __init__(
        self,
        application: Application,
        projection: Projection[Any, Any],
        checkpoint: Checkpoint,
        *,
        event_store: EventStore,
        view_store: ViewStore,
        feed: Feed,
        clock: Clock,
        telemetry: Telemetry,
        new_reply: Callable[[], Reply],
        limits: Limits,
    ) -> None:
        self.projection = projection
        self.table = table_of(projection)
        self.progress = Progress(projection, new_reply)
        self.progress.position = checkpoint.position
        self.last_error: str | None = None
        self.batches = 0
        self.events = 0
        self.recorded_at: datetime | None = None
        """When the last projected event was recorded."""
        self.on_leave: Callable[[], None] = lambda: None
        """Called when it stopped, or lost its lease."""
        self._claim: Claim | None = None
        """The lease under which it projects; None while another process does."""
        self._begun: Claim | None = None
        self._granted = Signal(new_reply)
        self._scope = anyio.CancelScope()
        self._checkpoint = checkpoint
        self._event_store = event_store
        self._view_store = view_store
        self._clock = clock
        self._telemetry = telemetry
        self._limits = limits
        self._folding = Folding(projection, limits)
        self.parking = Parking(self.table)
        self._poisonings = 0
        """How often the projection raised at the next event."""
        self._poisoned_at: datetime | None = None
        """When it did so first."""
        self._outages = 0
        """How often a store failed since something was committed."""
        self._losses = 0
        """How often the lease was found lost by a commit since something was committed."""
        self._until: int | None = None
        """Position before an event that failed: what comes up to there is sound, and is committed first."""
        self._uncertain: Attempt | None = None
        """What failed to be committed in a way that leaves open whether it happened."""
        self._is_refused = False
        """Whether that, repeated, was refused: perhaps because it had happened."""
        self.requests = self._make_requests(application.schema)
        self._subscription = Subscription(
            checkpoint,
            projection.events,
            foreign_categories(application, projection),
            store=event_store,
            schema=application.schema,
            feed=feed,
            new_reply=new_reply,
            limits=limits,
        )

    def _make_requests(self, schema: Schema) -> Requests:
        replaying = Replaying(
            self.projection,
            self.table,
            self._folding,
            self.parking,
            event_store=self._event_store,
            view_store=self._view_store,
            schema=schema,
            clock=self._clock,
            begin=self.progress.begin,
            limits=self._limits,
        )
        return Requests(replaying, self.parking, view_store=self._view_store, clock=self._clock)

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

    async def run(self) -> None:
        """Projects whenever the lease is here; returns only when it stopped and no other process can do better."""
        while self.progress.stopped is None or self._view_store.shared:
            if (claim := self._claim) is None:
                await self._granted.wait()
                continue
            if self._losses and claim is not self._begun:
                # Where the store refuses what it has just granted, that is no reason to ask without end.
                await self._pause(self._losses)
                if self._claim is not claim:
                    continue
            # What is under way when the lease is lost is of no use to anybody: it is not even waited for.
            with anyio.CancelScope() as self._scope:
                if claim is not self._begun:
                    self._begin(claim)
                await self._project(claim)

    def _begin(self, claim: Claim) -> None:
        """Trusts nothing that it knew: others may have been here."""
        self._begun = claim
        self._checkpoint = claim.checkpoint
        self._uncertain = None
        self._is_refused = False
        self._until = None
        self._poisonings = self._outages = 0
        self._folding.forget()
        self.parking.forget()
        self._subscription.accept(claim.checkpoint)
        if self._is_foreign(claim.checkpoint):
            self._stop(self.progress.position + 1, _FOREIGN)
            return
        self.progress.follow(claim.checkpoint.position)

    def _is_foreign(self, checkpoint: Checkpoint) -> bool:
        return checkpoint.store_id not in ("", self._event_store.identity)

    async def _project(self, claim: Claim) -> None:
        while self.progress.stopped is None and self._claim is claim:
            try:
                if self._uncertain is not None:
                    await self._make_certain(self._uncertain)
                else:
                    await self._work(claim)
            except Poisoned as poison:
                await self._poisoned(poison)
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
        if not self.parking.is_known:
            self.parking.begin(await self._view_store.parked(self.table))
        if self.requests.are_waiting:
            changed = await self.requests.step(self._checkpoint, claim.epoch)
            self.progress.advance(self._checkpoint.position, changed)
            if self.requests.are_waiting:
                # Live events have their turn between two steps, but are not waited for.
                self._subscription.interrupt()
        await self._project_next()

    @property
    def attempts(self) -> int:
        """Failed attempts at the next batch so far."""
        return self._poisonings + self._outages

    async def _project_next(self) -> None:
        batch = await self._subscription.next(self._until)
        if batch is None:
            return
        started = self._clock.monotonic()
        if batch.read == 0:
            assert batch.fault is not None, "a slice holds an event or a fault"
            self._stop(batch.fault.position, str(batch.fault), batch.fault)
            return
        epoch = self._begun.epoch if self._begun is not None else 0
        touches, letters = self.parking.divert(self._folding.touches(batch.events), self._clock.now())
        folded = await self._fold(touches)
        changes = ViewChanges(self._checkpoint, batch.last, folded.put, folded.removed, epoch, letters)
        await self._commit(Attempt(batch, folded, changes, started))
        # Stores that answer at once must not keep the event loop from everybody else while much is to be read.
        await anyio.lowlevel.checkpoint()

    async def _fold(self, touches: Sequence[Touch]) -> Folded:
        missing = self._folding.missing(touches)
        if missing:
            self._folding.remember(missing, await self._view_store.load(self.table, missing))
        return self._folding.fold(touches)

    async def _commit(self, attempt: Attempt) -> None:
        is_repeated = self._uncertain is attempt
        self._uncertain = attempt
        self.progress.begin(frozenset(attempt.folded.views))
        try:
            owned = await self._view_store.commit(self.table, attempt.changes)
        except StoreUnavailable:
            # Certain for this time, which says nothing of an earlier one.
            if not is_repeated:
                self._uncertain = None
            raise
        except ValueError as error:
            self._uncertain = None
            raise attempt.folded.refused(error, [one.position for one in attempt.batch.events]) from error
        if owned:
            self._advance(attempt)
        elif is_repeated and not self._is_refused:
            # The first may have arrived in between, as the next look at the checkpoint will tell.
            self._is_refused = True
        else:
            self._lose_ownership()

    async def _make_certain(self, attempt: Attempt) -> None:
        """After a commit that failed: looks which checkpoint the store has, before anything is written again."""
        found = (await self._view_store.prepare([self.table]))[self.table]
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
        self.recorded_at = batch.recorded_at or self.recorded_at
        self._checkpoint = batch.last
        self._uncertain = None
        self._is_refused = False
        self._until = None
        self._poisonings = self._outages = self._losses = 0
        self.last_error = None
        self._folding.commit(attempt.folded)
        self.parking.commit(attempt.changes.parked, (), batch.last)
        self._subscription.accept(batch.last)
        self.progress.advance(batch.last.position, frozenset(attempt.folded.views))
        name, position, ended = self.projection.name, batch.last.position, self._clock.monotonic()
        self._telemetry.projected(
            Projected(name, batch.events, batch.read, position, attempt.started, ended, batch.is_live)
        )

    def _lose_ownership(self) -> None:
        if self._view_store.shared:
            log.warning("projection goes on in another process", projection=self.projection.name)
            self._losses += 1
            self._leave()
            return
        self._stop(
            self._checkpoint.position + 1,
            f"its checkpoint in {self._view_store.url} was changed by somebody else; only one bus may project there",
        )

    async def _poisoned(self, poison: Poisoned) -> None:
        if poison.position > self._checkpoint.position + 1:
            # What comes before the event is committed before the event is tried again.
            self._until = poison.position - 1
            await anyio.lowlevel.checkpoint()
            return
        self._until = None
        self._poisonings += 1
        self.last_error = str(poison)
        self._poisoned_at = self._clock.now() if self._poisonings == 1 else self._poisoned_at
        if self._poisonings >= self._limits.projection_attempts_max:
            self._telemetry.failed(
                Failed("projection", self.projection.name, self._poisonings, poison, poison.recorded)
            )
            self._give_up(poison)
            return
        log.warning(
            "projection failed and is retried",
            projection=self.projection.name,
            position=poison.position,
            attempt=self._poisonings,
            error=told(poison.__cause__ or poison),
            **named(poison.recorded),
        )
        self._telemetry.failed(Failed("projection", self.projection.name, self._poisonings, poison, poison.recorded))
        await self._pause(self._poisonings)

    def _give_up(self, poison: Poisoned) -> None:
        if self.projection.on_poison is not PARK or not poison.keys:
            self._stop(poison.position, str(poison), poison.__cause__, poison.recorded)
            return
        now = self._clock.now()
        failure = Failure(poison.position, str(poison), self._poisonings, self._poisoned_at or now, now)
        self.parking.park(poison.keys, failure)
        self._poisonings = 0
        if self.parking.keys > self._limits.parked_keys_max:
            self._stop(
                poison.position,
                f"more than {self._limits.parked_keys_max} of its keys would be parked, which is "
                f"Limits.parked_keys_max; the last failed with {poison}",
                poison.__cause__,
                poison.recorded,
            )
            return
        log.warning(
            "events are parked",
            projection=self.projection.name,
            position=poison.position,
            keys=len(poison.keys),
            attempts=failure.attempts,
            error=told(poison.__cause__ or poison),
            **named(poison.recorded),
        )

    async def _unavailable(self, error: Exception) -> None:
        """A store failed, not the projection: it is tried again for as long as the bus is open."""
        self._outages += 1
        self.last_error = repr(error)
        self._folding.forget()
        log.warning(
            "projection waits for its store",
            projection=self.projection.name,
            position=self._checkpoint.position,
            attempt=self._outages,
            error=told(error),
        )
        self._telemetry.failed(Failed("projection-store", self.projection.name, self._outages, error))
        await self._pause(self._outages)

    async def _pause(self, attempt: int) -> None:
        limits = self._limits
        await anyio.sleep(backoff_s(limits.projection_backoff_s, limits.projection_backoff_max_s, attempt))

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
        self.last_error = reason
        self.progress.stop(position, reason)
        self._leave()
