"""The soak's samples: what the process holds at a moment, and whether that grows more than chance would have it."""

import asyncio
import gc
import itertools
import math
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

SIGNIFICANT = 3.0
"""So many standard errors above zero a slope is no chance any more: once in seven hundred."""


class Sample(msgspec.Struct, frozen=True):
    """What the process holds."""

    seconds: float
    """Since the beginning."""
    rss_kib: float
    """Memory in use, as the system counts it; 0 where it does not tell."""
    objects: int
    """Known to the garbage collector."""
    blocks: int
    """Allocated by Python."""
    tasks: int
    threads: int
    files: int
    log_kib: float
    """The write-ahead logs of all databases."""


class Trend(msgspec.Struct, frozen=True):
    """A line through points."""

    slope: float
    noise: float
    """The slope's standard error."""

    @property
    def grows(self) -> bool:
        return self.slope > SIGNIFICANT * self.noise


def sample(seconds: float, folder: Path) -> Sample:
    """What is held now; databases are those in the folder."""
    return Sample(
        seconds=seconds,
        rss_kib=_rss_kib(),
        objects=len(gc.get_objects()),
        blocks=sys.getallocatedblocks(),
        tasks=len(asyncio.all_tasks()),
        threads=threading.active_count(),
        files=_files(),
        log_kib=sum([path.stat().st_size for path in folder.glob("*-wal")]) / 1024,
    )


def most(one: Sample, other: Sample) -> Sample:
    """The larger of each."""
    return Sample(
        *[max(pair) for pair in zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)]
    )


def trend(points: Sequence[tuple[float, float]]) -> Trend:
    """The least squares' line through three points at least, and its standard error.

    Memory wanders: a sample is like the one before it. So the error is widened by what the residuals have in common
    with those before them, without which chance would look like growth.
    """
    count = len(points)
    mean_x = sum([x for x, _ in points]) / count
    mean_y = sum([y for _, y in points]) / count
    spread = sum([(x - mean_x) ** 2 for x, _ in points])
    slope = sum([(x - mean_x) * (y - mean_y) for x, y in points]) / spread
    residuals = [y - mean_y - slope * (x - mean_x) for x, y in points]
    squares = sum([residual**2 for residual in residuals])
    shared = sum([one * other for one, other in itertools.pairwise(residuals)])
    likeness = min(0.9, max(0.0, shared / squares)) if squares else 0.0
    error = math.sqrt(squares / (count - 2) / spread)
    return Trend(slope, error * math.sqrt((1 + likeness) / (1 - likeness)))


def second_half(samples: Sequence[Sample]) -> Sequence[Sample]:
    """By time: in the first half caches fill."""
    middle = samples[-1].seconds / 2
    return [one for one in samples if one.seconds >= middle]


def _rss_kib() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def _files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
