"""Answers in simulated histories: kept or shared, none is older than its question, nor than one that came before."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bus import Application
from bus.testing import Faults, SimulationFailed, simulate
from tests.simulation.planted_answers import ANSWER_BUGS, PARKED_ANSWER_BUGS, SHARED_ANSWER_BUGS
from tests.simulation.shop import CACHING_PARKING_SHOP, CACHING_SHOP, looking

pytestmark = pytest.mark.timeout(600)

HISTORIES_MAX = 500
POISONED = msgspec.structs.replace(Faults.none(), projection_poisons=0.3, slow=0.3)
"""Nothing but letters, and time for everything: other faults would only make histories longer."""


@pytest.mark.parametrize(
    ("application", "buses", "histories"),
    [(CACHING_SHOP, 1, 50), (CACHING_SHOP, 2, 20), (CACHING_PARKING_SHOP, 1, 20), (CACHING_PARKING_SHOP, 3, 8)],
    ids=["one bus", "two buses", "one that parks", "three that park"],
)
def test_histories_in_which_answers_are_kept_and_watched_keep_every_promise(
    application: Application, buses: int, histories: int
) -> None:
    given = watched = 0
    for seed in range(histories):
        history = simulate(application, seed=seed, workload=looking, buses=buses)
        given += history.counts["answer"]
        watched += history.counts["watched"]
    assert min(given, watched) > 5 * histories


FIRST_SEED = {"compare_checkpoints_alone": 55}
"""Where to begin with a bug that only later histories show."""


def found_in(bug: Callable[[Any], None], application: Application, buses: int, faults: Faults | None = None) -> int:
    """How many histories it takes until one fails."""
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        first = FIRST_SEED.get(bug.__name__, 0)
        for seed in range(first, first + HISTORIES_MAX):
            try:
                simulate(application, seed=seed, workload=looking, buses=buses, faults=faults, shrink=False)
            except SimulationFailed:
                return seed + 1
    raise AssertionError(f"{HISTORIES_MAX} histories did not find it")


@pytest.mark.parametrize("bug", ANSWER_BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_planted_in_answers_is_found(
    bug: Callable[[Any], None], record_property: Callable[[str, object], None]
) -> None:
    record_property("histories", found_in(bug, CACHING_SHOP, 1))


@pytest.mark.parametrize("bug", PARKED_ANSWER_BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_planted_in_answers_of_parking_projections_is_found(
    bug: Callable[[Any], None], record_property: Callable[[str, object], None]
) -> None:
    record_property("histories", found_in(bug, CACHING_PARKING_SHOP, 1, POISONED))


@pytest.mark.parametrize("bug", SHARED_ANSWER_BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_planted_in_answers_where_buses_share_their_views_is_found(
    bug: Callable[[Any], None], record_property: Callable[[str, object], None]
) -> None:
    record_property("histories", found_in(bug, CACHING_PARKING_SHOP, 2, POISONED))
