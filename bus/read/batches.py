"""Batches: what a slice of events makes of tables that are a user's own, in the transaction of the checkpoint."""

from collections.abc import Awaitable, Mapping
from typing import Any

import anyio

from bus.core.application import Application
from bus.core.batches import AnyProjection, BatchProjection
from bus.core.errors import DefinitionError, StatementFailed, StoreUnavailable, Unusable, in_words
from bus.core.stored import Checkpoint, ViewChanges, ViewTable, table_of
from bus.core.transactions import Transaction, Work
from bus.ports import SqlViewStore, ViewStore
from bus.read.folding import Poisoned
from bus.read.parking import Failure, Parking
from bus.read.replaying import Replayed
from bus.read.requests import Requests
from bus.read.services import Services
from bus.read.subscription import Slice
from bus.read.writing import Begin, ViewWriting, Writing
from bus.runtime.log import log, told


def writing_of(services: Services, projection: AnyProjection, table: ViewTable, begin: Begin) -> Writing:
    """What a projector of this projection does with slices of events; see `ViewWriting`."""
    if isinstance(projection, BatchProjection):
        return BatchWriting(services, projection, table)
    return ViewWriting(services, projection, table, begin)


def check_tables(application: Application, view_store: ViewStore) -> None:
    """Raises `DefinitionError` where the application has batch projections, and the view store speaks no SQL."""
    names = ", ".join([one.name for one in application.batch_projections])
    if names and not isinstance(view_store, SqlViewStore):
        raise DefinitionError(
            f"{view_store.url} cannot keep the tables of the batch projections {names}: it speaks no SQL. Give the bus "
            "a SqliteViewStore or a PostgresViewStore"
        )


async def set_up(services: Services) -> None:
    """Makes the tables of batch projections that were not opened before; raises `Unusable` where one cannot be made."""
    for projection in services.application.batch_projections:
        timeout_s = services.limits.batch_timeout_s
        await _sql(services.view_store).set_up(table_of(projection), _setup_of(projection, services), timeout_s)


def _setup_of(projection: BatchProjection[Any], services: Services) -> Work:
    async def work(transaction: Transaction) -> None:
        try:
            await _in_time(projection.setup(transaction), services.limits.batch_timeout_s)
        except StoreUnavailable:
            raise
        except Exception as error:
            url = services.view_store.url
            raise Unusable(
                f"{url}: the tables of batch projection {projection.name!r} version {projection.version} cannot be set "
                f"up: {in_words(error)}. Nothing was changed; mend its setup",
                store=url,
            ) from error

    return work


class BatchAttempt:
    """A run of events, to be handed over in a transaction: again in another one, where nobody knows what became of it.

    One that was committed is not handed over again: the checkpoint is compared before anything else happens.
    """

    def __init__(self, writing: "BatchWriting", batch: Slice, changes: ViewChanges, started: float) -> None:
        self.batch = batch
        self.started = started
        self.changed: frozenset[str] | None = None if batch.events else frozenset()
        self._writing = writing
        self._changes = changes

    async def commit(self) -> bool:
        writing = self._writing
        if not self.batch.events:
            return await writing.view_store.commit(writing.table, self._changes)
        try:
            return await _sql(writing.view_store).write(writing.table, self._changes, self._work, writing.timeout_s)
        except StatementFailed as error:
            raise self._failed(error) from error

    async def foresee(self, batch: Slice) -> bool:
        # A user's function is not called before its turn.
        return False

    def done(self) -> None:
        """Nothing of it is kept here."""

    async def _work(self, transaction: Transaction) -> None:
        writing = self._writing
        try:
            await _in_time(writing.projection.handle(self.batch.events, transaction), writing.timeout_s)
        except StoreUnavailable:
            raise
        except Exception as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> Poisoned:
        """Which of the events is to blame is found by halves: what comes before the second is committed first."""
        events = self.batch.events
        # What an upcaster splits shares a position.
        positions = list(dict.fromkeys([one.position for one in events]))
        middle = positions[len(positions) // 2]
        if len(positions) > 1:
            log.warning(
                "batch failed and is tried in halves",
                projection=self._writing.projection.name,
                position=positions[0],
                events=len(events),
                error=told(error),
            )
            return Poisoned(middle, error)
        return Poisoned(middle, error, recorded=events[0])


class BatchWriting:
    """Hands events to a user's function, together with the transaction that also carries the checkpoint."""

    def __init__(self, services: Services, projection: BatchProjection[Any], table: ViewTable) -> None:
        self.table = table
        self.projection = projection
        self.view_store = services.view_store
        self.timeout_s = services.limits.batch_timeout_s
        self._clock = services.clock
        self.parked: Mapping[str, int] = {}
        self.requests = Requests(NoLetters(), Parking(table), view_store=services.view_store, clock=services.clock)

    async def begin(self) -> None:
        """There is nothing that it has to know."""

    def forget(self) -> None:
        """There is nothing that it knows."""

    def forget_views(self) -> None:
        """There is nothing that it keeps."""

    async def attempt(self, batch: Slice, checkpoint: Checkpoint, epoch: int) -> BatchAttempt:
        return BatchAttempt(self, batch, ViewChanges(checkpoint, batch.last, (), (), epoch), self._clock.monotonic())

    def park(self, poison: Poisoned, failure: Failure) -> str:
        return str(poison)


class NoLetters:
    """Answers what people ask of dead letters, of which a batch projection has none."""

    async def retry(self, key: str, checkpoint: Checkpoint, epoch: int) -> Replayed:
        return Replayed(0, 0, None, frozenset())

    async def discard(self, key: str, position: int, checkpoint: Checkpoint, epoch: int) -> bool:
        return False


async def _in_time(work: Awaitable[None], timeout_s: float) -> None:
    with anyio.move_on_after(timeout_s) as scope:
        await work
    if scope.cancelled_caught:
        raise TimeoutError(f"it took longer than {timeout_s} s, which is Limits.batch_timeout_s")


def _sql(view_store: ViewStore) -> SqlViewStore:
    assert isinstance(view_store, SqlViewStore), "checked when the bus is opened"
    return view_store
