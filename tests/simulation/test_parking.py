"""Parking in simulated histories: events are poison for a while, letters are retried, views are what they must be."""

from collections.abc import Callable
from typing import Any

import pytest

from bus.testing import Faults, SimulationFailed, simulate
from tests.simulation.planted_parking import PARKING_BUGS, remove_letters_whether_or_not_they_are_there
from tests.simulation.shop import PARKING_SHOP, shopping

pytestmark = pytest.mark.timeout(600)

HISTORIES_MAX = 500
POISONED = Faults(projection_poisons=0.2, view_commit_late=0.3)


def found_in(seeds: range, buses: int) -> int | None:
    """How many histories it takes until one fails."""
    for count, seed in enumerate(seeds, 1):
        try:
            simulate(PARKING_SHOP, seed=seed, workload=shopping, buses=buses, faults=POISONED, shrink=False)
        except SimulationFailed:
            return count
    return None


@pytest.mark.parametrize(("buses", "histories"), [(1, 100), (2, 40)])
def test_histories_in_which_events_are_parked_and_retried_keep_every_promise(buses: int, histories: int) -> None:
    for seed in range(histories):
        simulate(PARKING_SHOP, seed=seed, workload=shopping, buses=buses)


@pytest.mark.parametrize("bug", PARKING_BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_planted_in_parking_is_found(
    bug: Callable[[Any], None], record_property: Callable[[str, object], None]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        # Where one process has the views to itself, no commit of its arrives late.
        histories = found_in(range(HISTORIES_MAX), 2 if bug is remove_letters_whether_or_not_they_are_there else 1)
    assert histories is not None, f"{HISTORIES_MAX} histories did not find it"
    record_property("histories", histories)
