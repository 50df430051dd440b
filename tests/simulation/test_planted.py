"""Planted bugs: the simulator finds each of them within two thousand histories, and none where there is none."""

from collections.abc import Callable
from typing import Any

import pytest

from bus.testing import SimulationFailed, simulate
from tests.simulation.planted import BUGS
from tests.simulation.shop import SHOP, shopping

HISTORIES_MAX = 2_000


def found_in(seeds: int) -> int | None:
    """How many histories it takes until one fails."""
    for seed in range(seeds):
        try:
            simulate(SHOP, seed=seed, workload=shopping, shrink=False)
        except SimulationFailed:
            return seed + 1
    return None


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found(bug: Callable[[Any], None], record_property: Callable[[str, object], None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        histories = found_in(HISTORIES_MAX)
    assert histories is not None, f"{HISTORIES_MAX} histories did not find it"
    record_property("histories", histories)


def test_without_a_bug_nothing_is_found() -> None:
    assert found_in(30) is None
