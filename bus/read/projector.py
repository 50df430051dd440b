"""Projector: the actor of one projection; folds batches and commits views with their checkpoint."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

import anyio
import anyio.lowlevel
import msgspec

from bus.core.application import Application
from bus.core.errors import ProjectionStopped, StoreUnavailable
from bus.core.limits import Limits
from bus.core.messages import Event, Recorded
from bus.core.projection import Projection
from bus.core.reports import Failed, Projected
from bus.core.stored import Checkpoint, ViewChanges, ViewTable
from bus.ports import Clock, EventStore, Telemetry, ViewStore
from bus.read.folding import Folded, Folding, Poisoned, StaleShape
from bus.read.progress import Progress
from bus.read.subscription import Slice, Subscription
from bus.runtime.feed import Feed
from bus.runtime.log import log, placed, told
from bus.runtime.reply import Reply
from bus.runtime.supervisor import backoff_s


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
        self._checkpoint = checkpoint
        self._view_store = view_store
        self._clock = clock
        self._telemetry = telemetry
        self._limits = limits
        self._folding = Folding(projection, limits)
        self._poisonings = 0
        """How often the projection raised at the next event."""
        self._outages = 0
        """How often a store failed since something was committed."""
        self._until: int | None = None
        """Position before an event that failed: what comes up to there is sound, and is committed first."""
        self._uncertain: Attempt | None = None
        """What failed to be committed in a way that leaves open whether it happened."""
        self._subscription = Subscription(
            checkpoint,
            projection.events,
            _foreign_categories(application, projection),
            store=event_store,
            schema=application.schema,
            feed=feed,
            new_reply=new_reply,
            limits=limits,
        )

    async def run(self) -> None:
        """Projects for ever; returns when an event cannot be processed."""
        while self.progress.stopped is None:
            try:
                if self._uncertain is not None:
                    await self._make_certain(self._uncertain)
                else:
                    await self._project_next()
            except Poisoned as poison:
                await self._poisoned(poison)
            except StaleShape as error:
                self._stop(self._checkpoint.position + 1, str(error), error)
            except Exception as error:
                await self._unavailable(error)

    @property
    def attempts(self) -> int:
        """Failed attempts at the next batch so far."""
        return self._poisonings + self._outages

    async def _project_next(self) -> None:
        batch = await self._subscription.next(self._until)
        started = self._clock.monotonic()
        if batch.read == 0:
            assert batch.fault is not None, "a slice holds an event or a fault"
            self._stop(batch.fault.position, str(batch.fault), batch.fault)
            return
        folded = await self._fold(batch)
        changes = ViewChanges(self._checkpoint, batch.last, folded.put, folded.removed)
        await self._commit(Attempt(batch, folded, changes, started))
        # Stores that answer at once must not keep the event loop from everybody else while much is to be read.
        await anyio.lowlevel.checkpoint()

    async def _fold(self, batch: Slice) -> Folded:
        touches = self._folding.touches(batch.events)
        missing = self._folding.missing(touches)
        if missing:
            self._folding.remember(missing, await self._view_store.load(self.table, missing))
        return self._folding.fold(touches)

    async def _commit(self, attempt: Attempt) -> None:
        is_repeated = self._uncertain is attempt
        self._uncertain = attempt
        try:
            owned = await self._view_store.commit(self.table, attempt.changes)
        except StoreUnavailable:
            # Certain for this time, which says nothing of an earlier one.
            if not is_repeated:
                self._uncertain = None
            raise
        except ValueError as error:
            self._uncertain = None
            self._blame(attempt.batch, error)
        if owned:
            self._advance(attempt)
        elif not is_repeated:
            self._lose_ownership()

    def _blame(self, batch: Slice, error: ValueError) -> NoReturn:
        """What the store cannot hold it never will. Which event made it is found by halves."""
        if not batch.events:
            raise error
        # Of positions, since what an upcaster splits shares one.
        positions = list(dict.fromkeys([recorded.position for recorded in batch.events]))
        raise Poisoned(positions[len(positions) // 2], error) from error

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
        self._until = None
        self._poisonings = self._outages = 0
        self.last_error = None
        self._folding.commit(attempt.folded)
        self._subscription.accept(batch.last)
        self.progress.advance(batch.last.position, frozenset(attempt.folded.views))
        self._tell(attempt)

    def _tell(self, attempt: Attempt) -> None:
        batch, ended = attempt.batch, self._clock.monotonic()
        name, position = self.projection.name, batch.last.position
        self._telemetry.projected(
            Projected(name, batch.events, batch.read, position, attempt.started, ended, batch.is_live)
        )

    def _lose_ownership(self) -> None:
        self._stop(
            self._checkpoint.position + 1,
            f"its checkpoint in {self._view_store.url} was changed by somebody else; only one bus may project there",
        )

    async def _poisoned(self, poison: Poisoned) -> None:
        if poison.position > self._checkpoint.position + 1:
            # What comes before the event is committed before the event is tried again.
            self._until = poison.position - 1
            return
        self._until = None
        self._poisonings += 1
        self.last_error = str(poison)
        if self._poisonings >= self._limits.projection_attempts_max:
            self._telemetry.failed(
                Failed("projection", self.projection.name, self._poisonings, poison, poison.recorded)
            )
            self._stop(poison.position, str(poison), poison.__cause__, poison.recorded)
            return
        log.warning(
            "projection failed and is retried",
            projection=self.projection.name,
            position=poison.position,
            attempt=self._poisonings,
            error=told(poison.__cause__ or poison),
            **_named(poison.recorded),
        )
        self._telemetry.failed(Failed("projection", self.projection.name, self._poisonings, poison, poison.recorded))
        await self._pause(self._poisonings)

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
            **_named(recorded),
        )
        self.last_error = reason
        self.progress.stop(position, reason)


def table_of(projection: Projection[Any, Any]) -> ViewTable:
    """Where a projection's views live."""
    return ViewTable(projection.name, projection.version, projection.indexes)


def _named(recorded: Recorded[Event] | None) -> dict[str, str]:
    """What an entry of the log says of an event."""
    if recorded is None:
        return {}
    ids = {"correlation_id": recorded.correlation_id, "command_id": recorded.command_id, "stream": recorded.stream}
    return placed(recorded.traceparent) | ids


def _foreign_categories(application: Application, projection: Projection[Any, Any]) -> frozenset[str]:
    """Categories whose deciders record nothing that the projection takes."""
    wanted = set(projection.events)
    return frozenset(decider.category for decider in application.deciders if wanted.isdisjoint(decider.events))
