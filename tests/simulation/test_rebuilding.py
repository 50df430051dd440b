"""Rebuilding in simulated histories: views are built, switched to and dropped, and no answer is older than another."""

from collections.abc import Callable
from typing import Any

import pytest

from bus import Application
from bus.testing import Faults, SimulationFailed, simulate
from tests.simulation.planted_rebuilding import REBUILDING_BUGS
from tests.simulation.shop import PARKING_SHOP, RAISED_PARKING_SHOP, RAISED_SHOP, SHOP, shopping

pytestmark = [pytest.mark.no_cover, pytest.mark.timeout(600)]
"""What runs so many histories is not what counts the lines that they reach, which takes twice as long again."""

HISTORIES_MAX = 500
REBUILT = Faults(rebuilds=1.0)


FIRST_SEED = {
    "switch_without_comparing_positions": 19,
    "adopt_before_it_has_what_was_answered": 81,
    "skip_an_event_when_a_build_is_resumed": 16,
}
"""Where to begin with a bug that only later histories show."""


def found_in(seeds: int, buses: int, first: int = 0) -> int | None:
    """How many histories it takes until one fails, those of a new release and of one alone by turns."""
    for seed in range(first, first + seeds):
        application, earlier = (RAISED_SHOP, SHOP) if seed % 2 else (SHOP, None)
        try:
            simulate(
                application,
                seed=seed,
                workload=shopping,
                buses=buses,
                faults=REBUILT,
                shrink=False,
                earlier=earlier,
            )
        except SimulationFailed:
            return seed + 1
    return None


@pytest.mark.parametrize(("buses", "histories"), [(1, 60), (2, 20)])
@pytest.mark.parametrize(
    ("application", "earlier"),
    [(SHOP, None), (RAISED_SHOP, SHOP), (RAISED_PARKING_SHOP, PARKING_SHOP)],
    ids=["one release", "two releases", "two releases that park"],
)
def test_histories_in_which_views_are_rebuilt_keep_every_promise(
    application: Application, earlier: Application | None, buses: int, histories: int
) -> None:
    switched = 0
    for seed in range(histories):
        history = simulate(
            application, seed=seed, workload=shopping, buses=buses, faults=REBUILT, shrink=False, earlier=earlier
        )
        switched += history.counts["switch"]
    assert switched > histories


def test_two_releases_give_the_same_history_again() -> None:
    digests = {
        simulate(RAISED_SHOP, seed=7, workload=shopping, buses=2, faults=REBUILT, earlier=SHOP).digest for _ in range(2)
    }
    assert len(digests) == 1


@pytest.mark.parametrize(("bug", "buses"), REBUILDING_BUGS, ids=lambda value: getattr(value, "__name__", None))
def test_a_bug_planted_in_rebuilding_is_found(
    bug: Callable[[Any], None], buses: int, record_property: Callable[[str, object], None]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        histories = found_in(HISTORIES_MAX, buses, FIRST_SEED.get(bug.__name__, 0))
    assert histories is not None, f"{HISTORIES_MAX} histories did not find it"
    record_property("histories", histories)
