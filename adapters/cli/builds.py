"""Builds: how each build of each projection stands, as it is seen from the stores, beside the bus or without one."""

import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from adapters.cli.failures import Refused
from bus import Unusable
from bus.core.builds import ANSWERING, BUILDING, REPLACED, Build, Standing, State, answering

if TYPE_CHECKING:
    from adapters.cli.stores import EventStore, ViewDesk, ViewStore

WINDOW_S: Final = 30.0
"""Over how much time a rate is taken; what is being built rests for seconds between two transactions."""
SHORTEST_S: Final = 0.5
"""Two looks that are nearer to each other say nothing of a rate."""
STALE_S: Final = 30.0
"""A rate that was told longer ago is one of a process that has died since."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One build. None stands for what cannot be known: without the event store, or before anybody has told."""

    projection: str
    version: int
    build: int
    state: State | Literal["leftover"]
    """A leftover is of a version that was replaced without a word, as one is that was not named by `previous`."""
    since: datetime | None
    """When it came into that state; None for one that has answered from the beginning."""
    drops_at: datetime | None
    """When it will be dropped, where it was replaced."""
    position: int
    head: int | None
    """Where the event store ends."""
    progress_percent: float | None
    lag_events: int | None
    """Events not yet in the views."""
    lag_s: float | None
    """Age of the oldest of them."""
    events_per_s: float | None
    left_s: float | None
    """How long the rest takes at that rate."""
    batch_events: float | None
    """Events of a transaction."""
    attempts: int | None
    """Failed attempts at what comes next."""
    retries: int | None
    """Failed attempts since that bus was opened."""
    parked_keys: int
    dead_letters: int
    stopped: str | None
    last_error: str | None
    owner: str | None
    """Who projects it; '' for a bus that was closed."""
    told_at: datetime | None
    """When anybody has told of that last, which is only done when something has changed."""


class Looking:
    """Looks again and again, and so sees at what rate positions go forward."""

    def __init__(self, desk: "ViewDesk | ViewStore", events: "EventStore | None") -> None:
        self.desk = desk
        self._events = events
        self._seen: dict[tuple[str, int, int], deque[tuple[float, int]]] = {}
        """When each build was at which position, over the last seconds."""

    async def look(self, projection: str | None = None) -> list[Row]:
        """All builds, or those of one projection, by projection, version and build; empty where there are none."""
        builds = [one for one in await self.desk.builds() if projection in (None, one.table.projection)]
        # After the builds, so that none is ahead of it.
        head = None if self._events is None else await self._events.head()
        places = {one.table.place for one in builds}
        self._seen = {place: seen for place, seen in self._seen.items() if place in places}
        return [await self._row(build, head, _state(build, builds)) for build in builds]

    async def _row(self, build: Build, head: int | None, state: State | Literal["leftover"]) -> Row:
        table, position, told = build.table, build.checkpoint.position, build.standing
        self._check(build)
        rate = self._rate(build)
        lag = None if head is None else max(0, head - position)
        parked = await self._parked(build)
        return Row(
            projection=table.projection,
            version=table.version,
            build=table.build,
            state=state,
            since=build.since,
            drops_at=None if told is None or state != REPLACED else told.drops_at,
            position=position,
            head=head,
            progress_percent=None if head is None else round(100.0 * position / head, 1) if head else 100.0,
            lag_events=lag,
            lag_s=await self._lag_s(build) if lag else None if lag is None else 0.0,
            events_per_s=None if rate is None else round(rate, 1),
            left_s=0.0 if lag == 0 else round(lag / rate, 1) if lag is not None and rate else None,
            batch_events=None if told is None or not _is_fresh(told) else told.batch_events,
            attempts=None if told is None else told.attempts,
            retries=None if told is None else told.retries,
            parked_keys=len(parked),
            dead_letters=sum(parked),
            stopped=None if told is None else told.stopped,
            last_error=None if told is None else told.last_error,
            owner=None if told is None else told.owner,
            told_at=None if told is None else told.told_at,
        )

    def _check(self, build: Build) -> None:
        """Positions of one store mean nothing in another."""
        if self._events is not None and build.checkpoint.store_id not in ("", self._events.identity):
            raise Refused(
                f"the views of projection {build.table.projection!r} in {self.desk.url} were made from another event "
                f"store than {self._events.url}: name theirs with --store"
            )

    async def _parked(self, build: Build) -> Sequence[int]:
        """How many letters each parked key has."""
        try:
            return list((await self.desk.parked(build.table)).values())
        except Unusable:
            # Dropped since it was listed.
            return ()

    async def _lag_s(self, build: Build) -> float | None:
        assert self._events is not None, "without an event store nothing is known to be missing"
        page = await self._events.page(build.checkpoint.position, 1)
        if not page:
            return None
        return round(max(0.0, (datetime.now(UTC) - page[0].recorded_at).total_seconds()), 3)

    def _rate(self, build: Build) -> float | None:
        """Events in a second: as seen, or else as told."""
        now, seen = time.monotonic(), self._seen.setdefault(build.table.place, deque())
        seen.append((now, build.checkpoint.position))
        while now - seen[0][0] > WINDOW_S and len(seen) > 2:
            seen.popleft()
        (then, position), told = seen[0], build.standing
        if now - then >= SHORTEST_S:
            return max(0.0, (build.checkpoint.position - position) / (now - then))
        return told.events_per_s if told is not None and _is_fresh(told) else None


def _state(build: Build, builds: Sequence[Build]) -> State | Literal["leftover"]:
    others = [one for one in builds if one.table.projection == build.table.projection]
    return "leftover" if build.state == ANSWERING and answering(others) is not build else build.state


def _is_fresh(told: Standing) -> bool:
    """Whether what was told of a rate may still be so: nothing is told again while it is the same."""
    return not told.events_per_s or (datetime.now(UTC) - told.told_at).total_seconds() < STALE_S


def is_stopped(row: Row) -> bool:
    """Whether somebody has to do something; of what was replaced nobody has."""
    return row.stopped is not None and row.state in (ANSWERING, BUILDING)


def title_of(row: Row) -> str:
    """Which of the projection's builds it is."""
    return f"v{row.version}" + (f".{row.build}" if row.build else "")


def is_building(row: Row) -> bool:
    """Whether it has not answered yet."""
    return row.state == BUILDING
