"""Workers that are killed under load, again and again: nothing acknowledged is lost, nothing is doubled or halved."""

import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crashes import outages
from tests.crashes.lane import Lane, Tally
from tests.crashes.outages import Outages
from tests.crashes.stores import NewStores
from tests.support.postgres import PostgresServer

KILLS = int(os.environ.get("CRASH_KILLS", "200"))
OUTAGES = KILLS // 10
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
    seed = _seed()
    with told(seed), ThreadPoolExecutor(LANES) as threads:
        lanes = [Lane(new_stores, tmp_path / f"lane-{number}", seed + number) for number in range(LANES)]
        tallies = list(threads.map(lambda lane: lane.run(KILLS // LANES), lanes))
        _check_not_idle(tallies, KILLS // LANES * LANES)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc, by which a server's processes are found")
@pytest.mark.timeout(120 + 10 * OUTAGES)
def test_a_server_killed_at_any_moment_loses_nothing_acknowledged_and_its_worker_works_on(
    servers: list[PostgresServer], tmp_path: Path
) -> None:
    seed = _seed()
    with told(seed), ThreadPoolExecutor(len(servers)) as threads:
        lives = [Outages(server, tmp_path / f"server-{number}", seed + number) for number, server in enumerate(servers)]
        count = max(1, OUTAGES // len(servers))
        _check_outages(list(threads.map(lambda life: life.run(count), lives)), count * len(servers))


def _seed() -> int:
    return int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(2**32))


def _check_not_idle(tallies: list[Tally], kills: int) -> None:
    """Most kills must hit a worker at work, and its work at every stage; the bounds are half of what is usual."""
    print(*tallies, sep="\n")
    assert sum(tally.kills for tally in tallies) == kills
    assert sum(tally.busy for tally in tallies) > 0.5 * kills
    assert sum(tally.before_commit for tally in tallies) > 0.3 * kills
    assert sum(tally.between_commit_and_answer for tally in tallies) > 0.15 * kills
    assert sum(tally.acknowledged for tally in tallies) > 100 * kills
    assert sum(tally.duplicates for tally in tallies) > 50 * kills


def _check_outages(tallies: list[outages.Tally], count: int) -> None:
    """Outages must come in the middle of appends, some of which are found to be recorded and some not."""
    print(*tallies, sep="\n")
    assert sum(tally.outages for tally in tallies) == count
    assert sum(tally.acknowledged for tally in tallies) > 200 * count
    assert sum(tally.not_recorded for tally in tallies) > 0
    assert sum(tally.unknown for tally in tallies) > 0
