"""Statistics: what the bus tells of itself, in frozen structs."""

import msgspec


class BuildStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Views that are being built beside those that answer."""

    version: int
    build: int
    is_here: bool
    """Whether this process builds them; of what another one does it knows the position alone."""
    position: int
    lag_events: int
    """Events in the store that are not yet in these views."""
    events_per_s: float
    """Projected lately, which is in the last minute."""
    left_s: float | None
    """How long the rest takes at that rate; None where nothing was projected lately."""
    stopped: str | None
    """Why it stopped; None while it runs."""


class ProjectionStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """One projection of this process."""

    name: str
    version: int
    build: int
    """Version and build of the views that answer."""
    is_here: bool
    """Whether this process projects it; if not, another one that shares the views does, or soon will."""
    position: int
    """Committed up to here."""
    lag_events: int
    """Events in the store that are not yet in the views, as far as this process knows."""
    lag_s: float | None
    """Age of the oldest of these in seconds; None while nothing is known.

    Exact while that event is being projected or is among those committed last. Where neither is so, which is between
    two pages of one that catches up, and where another process projects, it is the age of the event before it that
    was projected here last: an upper bound.
    """
    batches: int
    """Transactions since the bus was opened."""
    events: int
    """Events projected since the bus was opened."""
    events_per_s: float
    """Projected lately, which is in the last ten seconds."""
    batch_events: float
    """Events of a transaction, lately and on the average; 0 where there was none."""
    attempts: int
    """Failed attempts at what comes next."""
    retries: int
    """All failed attempts since the bus was opened, of the projection as of its stores."""
    last_error: str | None
    stopped: str | None
    """Why it stopped; None while it runs."""
    parked_keys: int
    """Keys whose events are parked, as far as this process knows: of a projection that is not here it knows nothing."""
    dead_letters: int
    """Their events."""
    building: BuildStatistics | None = None
    """What is being built beside the views that answer."""


class CacheStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The kept answers of one query handler that is `cached`; counts are since the bus was opened."""

    query: str
    """The query's class."""
    hits: int
    """Asked and answered without a run of the handler of its own."""
    misses: int
    """Asked and answered by running the handler."""
    answers: int
    """Kept now."""

    @property
    def hit_rate(self) -> float:
        """Hits of all that was asked; 0 where nothing was."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """The whole bus at one moment; counts are since it was opened."""

    commands_in_flight: int
    mailboxes: int
    """Aggregates with commands that are not yet decided."""
    residents: int
    """Aggregates in memory."""
    passivated: int
    recovered: int
    turns: int
    batches: int
    """Transactions of the event store."""
    commands: int
    """Commands that went through the event store and were accepted by it."""
    events: int
    """Events recorded."""
    expired: int
    """Senders whose deadline passed."""
    restarts: int
    """Crashes of the bus's own tasks; above zero means a bug."""
    position: int
    """The last position known to be committed."""
    projections: tuple[ProjectionStatistics, ...]
    dead_letters: int = 0
    """Parked events of all projections that run here."""
    caches: tuple[CacheStatistics, ...] = ()
    """One for each query handler that is `cached`."""
    watchers: int = 0
    """Readers of `watch`."""
    watched: int = 0
    """Different queries that they watch, each of which is answered once for all of them."""
    snapshots: int = 0
    """Snapshots written."""
    snapshot_failures: int = 0
    """Snapshots that could not be written; their aggregates are recovered from an earlier one, or all events."""
    snapshots_ignored: int = 0
    """Snapshots of the right format that could not be used; their aggregates were recovered from all events."""
    snapshot_error: str | None = None
    """Why the last of either kind failed."""


class ShutdownReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a bus had not finished when its deadline for leaving came."""

    commands: int
    """Commands whose senders were told `OutcomeUnknown` or `BusClosed`."""
    projections: dict[str, int]
    """Events still missing from the views, by projection; they are projected when the bus is opened again."""

    @property
    def is_clean(self) -> bool:
        """Whether everything was finished."""
        return not self.commands and not self.projections
