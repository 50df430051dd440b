"""Workers that are killed under load, again and again: nothing acknowledged is lost, nothing is doubled or halved."""

import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crashes.lane import Lane, Tally
from tests.crashes.stores import NewStores

KILLS = int(os.environ.get("CRASH_KILLS", "200"))
LANES = 4
"""Stores side by side: while one worker starts, another one works."""


@contextmanager
def told(seed: int) -> Iterator[None]:
    """A failure names the seed of its moments, of which the worker's own pace makes the rest."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"to draw the same moments again: CRASH_SEED={seed}")
        raise


@pytest.mark.timeout(60 + 3 * KILLS)
def test_workers_killed_at_any_moment_lose_nothing_acknowledged_and_double_nothing(
    new_stores: NewStores, tmp_path: Path
) -> None:
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(2**32))
    with told(seed), ThreadPoolExecutor(LANES) as threads:
        lanes = [Lane(new_stores, tmp_path / f"lane-{number}", seed + number) for number in range(LANES)]
        tallies = list(threads.map(lambda lane: lane.run(KILLS // LANES), lanes))
        _check_not_idle(tallies, KILLS // LANES * LANES)


def _check_not_idle(tallies: list[Tally], kills: int) -> None:
    """Most kills must hit a worker at work, and its work at every stage; the bounds are half of what is usual."""
    print(*tallies, sep="\n")
    assert sum(tally.kills for tally in tallies) == kills
    assert sum(tally.busy for tally in tallies) > 0.5 * kills
    assert sum(tally.before_commit for tally in tallies) > 0.3 * kills
    assert sum(tally.between_commit_and_answer for tally in tallies) > 0.15 * kills
    assert sum(tally.acknowledged for tally in tallies) > 100 * kills
    assert sum(tally.duplicates for tally in tallies) > 50 * kills
