"""Lag: how far the views of projections are behind, in events and in seconds, and how fast they come after."""

from datetime import timedelta

from bus.core.builds import REPLACED, Build, Standing
from bus.core.statistics import BuildStatistics, ProjectionStatistics
from bus.read.lineage import Lineage
from bus.read.projector import Projector
from bus.read.services import Services

_DIGITS = 3
"""Of a rate that is told; more would make each look another one."""


def statistics_of(services: Services, lineage: Lineage, head: int) -> ProjectionStatistics:
    """One projection at this moment, where the store ends at `head`. May be called in another thread."""
    projector, now = lineage.answers, services.clock.monotonic()
    behind = behind_of(projector, head)
    building = lineage.building
    return ProjectionStatistics(
        name=lineage.name,
        version=projector.table.version,
        build=projector.table.build,
        is_here=projector.is_here,
        position=projector.progress.position,
        lag_events=behind,
        lag_s=_lag_s(services, projector) if behind else 0.0,
        batches=projector.batches,
        events=projector.events,
        events_per_s=projector.lately.events_per_s(now),
        batch_events=projector.lately.batch_events(now),
        attempts=projector.attempts,
        retries=projector.retries,
        last_error=projector.last_error,
        stopped=projector.progress.stopped,
        parked_keys=len(projector.parked),
        dead_letters=sum(projector.parked.values()),
        building=None if building is None or building is projector else _building(building, head, now),
    )


def behind_of(projector: Projector, head: int) -> int:
    """Events that are not yet in its views."""
    return max(0, head - projector.progress.position)


def standing_of(services: Services, projector: Projector, build: Build | None, owner: str) -> Standing:
    """What is told of a build to those who look from outside."""
    now, grace = services.clock.monotonic(), timedelta(seconds=services.limits.replaced_grace_s)
    is_replaced = build is not None and build.state == REPLACED and build.since is not None
    return Standing(
        told_at=services.clock.now(),
        owner=owner,
        events_per_s=_rounded(projector.lately.events_per_s(now)),
        batch_events=_rounded(projector.lately.batch_events(now)),
        attempts=projector.attempts,
        retries=projector.retries,
        parked_keys=len(projector.parked),
        last_error=projector.last_error,
        stopped=projector.progress.stopped,
        drops_at=build.since + grace if is_replaced and build is not None and build.since is not None else None,
    )


def _building(projector: Projector, head: int, now: float) -> BuildStatistics:
    behind, events_per_s = behind_of(projector, head), projector.lately.events_per_s(now)
    return BuildStatistics(
        version=projector.table.version,
        build=projector.table.build,
        is_here=projector.is_here,
        position=projector.progress.position,
        lag_events=behind,
        events_per_s=events_per_s,
        left_s=behind / events_per_s if events_per_s else None,
        stopped=projector.progress.stopped,
    )


def _lag_s(services: Services, projector: Projector) -> float | None:
    oldest = projector.oldest_at
    return None if oldest is None else max(0.0, (services.clock.now() - oldest).total_seconds())


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
