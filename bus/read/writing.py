"""Writing: what a slice of events makes of the views, and the commit of it together with the checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

from bus.core.projection import PARK, Projection
from bus.core.stored import Checkpoint, ViewChanges, ViewTable
from bus.ports import ViewStore
from bus.read.folding import Folded, Folding, Poisoned, Touch
from bus.read.foresight import Foresight
from bus.read.parking import Failure, Parking
from bus.read.replaying import Replaying
from bus.read.requests import Requests
from bus.read.services import Services
from bus.read.subscription import Slice

Begin: TypeAlias = Callable[[frozenset[str]], None]
"""Is told of views that are about to be changed."""


class Attempt(Protocol):
    """What is to be committed of one slice; the same again where nobody knows whether it was."""

    @property
    def batch(self) -> Slice:
        """The slice that it was made of."""
        ...

    @property
    def started(self) -> float:
        """When the work on it began, on the loop's clock."""
        ...

    async def commit(self) -> bool:
        """As `ViewStore.commit`; what the store cannot hold is `Poisoned`."""
        ...

    @property
    def changed(self) -> frozenset[str] | None:
        """The keys of the views that it changes; None where those are unknown."""
        ...

    async def foresee(self, batch: Slice) -> bool:
        """Begins on a slice that follows, as it will be if this one is committed; changes and raises nothing.

        Returns whether the one after that may be begun on as well.
        """
        ...

    def done(self) -> None:
        """Notes that it is in the store."""
        ...


class Writing(Protocol):
    """What a projector does with slices of events, without knowing what its projection is made of."""

    requests: Requests
    """What people ask of the projection."""

    @property
    def parked(self) -> Mapping[str, int]:
        """The keys that have letters, with their numbers."""
        ...

    async def begin(self) -> None:
        """Learns from the store what it has to know, unless it does."""
        ...

    def forget(self) -> None:
        """Trusts nothing that it knew: others may have written."""
        ...

    def forget_views(self) -> None:
        """Reads everything from the store again."""
        ...

    async def attempt(self, batch: Slice, checkpoint: Checkpoint, epoch: int) -> Attempt:
        """What the slice makes of the views as they are at `checkpoint`; changes nothing. Raises `Poisoned`."""
        ...

    def park(self, poison: Poisoned, failure: Failure) -> str | None:
        """Puts the event's keys aside from the next attempt on; returns why the projection is to stop, if instead."""
        ...


class ViewAttempt:
    """The changes of a run of events in the views of one table."""

    def __init__(
        self, writing: "ViewWriting", batch: Slice, folded: Folded, changes: ViewChanges, started: float
    ) -> None:
        self.batch = batch
        self.started = started
        self.changed = frozenset(folded.views)
        self._writing = writing
        self._folded = folded
        self.changes = changes

    async def foresee(self, batch: Slice) -> bool:
        return await self._writing.foresight.look(batch, self._folded)

    async def commit(self) -> bool:
        try:
            return await self._writing.view_store.commit(self._writing.table, self.changes)
        except ValueError as error:
            raise self._folded.refused(error, [one.position for one in self.batch.events]) from error

    def done(self) -> None:
        self._writing.folding.commit(self._folded)
        self._writing.parking.commit(self.changes.parked, (), self.batch.last)


class ViewWriting:
    """Folds events into views, and puts aside what it cannot fold."""

    def __init__(
        self,
        services: Services,
        projection: Projection[Any, Any],
        table: ViewTable,
        begin: Begin,
    ) -> None:
        """`begin` is told of the views that a retry of letters is about to change."""
        self.table = table
        self.folding = Folding(projection, services.limits)
        self.parking = Parking(table)
        self.view_store: ViewStore = services.view_store
        self.foresight = Foresight(self.folding, self.parking, partial(self.view_store.load, table), services.clock)
        self._projection = projection
        self._clock = services.clock
        self._keys_max = services.limits.parked_keys_max
        replaying = Replaying(
            projection,
            table,
            self.folding,
            self.parking,
            event_store=services.event_store,
            view_store=services.view_store,
            schema=services.application.schema,
            clock=services.clock,
            begin=begin,
            limits=services.limits,
        )
        self.requests = Requests(replaying, self.parking, view_store=services.view_store, clock=services.clock)

    @property
    def parked(self) -> Mapping[str, int]:
        return self.parking.letters

    async def begin(self) -> None:
        if not self.parking.is_known:
            self.parking.begin(await self.view_store.parked(self.table))

    def forget(self) -> None:
        self.forget_views()
        self.parking.forget()

    def forget_views(self) -> None:
        self.foresight.forget()
        self.folding.forget()

    async def attempt(self, batch: Slice, checkpoint: Checkpoint, epoch: int) -> ViewAttempt:
        if (foreseen := await self.foresight.seen(batch)) is not None:
            folded = foreseen.folded
            changes = ViewChanges(checkpoint, batch.last, folded.put, folded.removed, epoch)
            return ViewAttempt(self, batch, folded, changes, foreseen.started)
        started = self._clock.monotonic()
        touches, letters = self.parking.divert(self.folding.touches(batch.events), self._clock.now())
        folded = await self._fold(touches)
        changes = ViewChanges(checkpoint, batch.last, folded.put, folded.removed, epoch, letters)
        return ViewAttempt(self, batch, folded, changes, started)

    async def _fold(self, touches: Sequence[Touch]) -> Folded:
        missing = self.folding.missing(touches)
        if missing:
            self.folding.remember(missing, await self.view_store.load(self.table, missing))
        return self.folding.fold(touches)

    def park(self, poison: Poisoned, failure: Failure) -> str | None:
        if self._projection.on_poison is not PARK or not poison.keys:
            return str(poison)
        self.parking.park(poison.keys, failure)
        if self.parking.keys <= self._keys_max:
            return None
        return (
            f"more than {self._keys_max} of its keys would be parked, which is Limits.parked_keys_max; the last "
            f"failed with {poison}"
        )
