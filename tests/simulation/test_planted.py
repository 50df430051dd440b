"""Planted bugs: the simulator finds each of them within two thousand histories, and none where there is none."""

from collections.abc import Callable
from typing import Any

import pytest

from bus.testing import SimulationFailed, simulate
from tests.simulation.planted import BUGS
from tests.simulation.planted_sharing import SHARED_BUGS
from tests.simulation.shop import SHOP, shopping

pytestmark = pytest.mark.timeout(600)

HISTORIES_MAX = 2_000


FIRST_SEED = {
    "forget_to_reset_the_staged_state": 9,
    "give_back_whom_another_turn_has": 430,
    "lose_the_slot_of_a_cancelled_sender": 6,
    "leave_the_mail_of_who_is_under_way": 9,
}
"""Where to begin with a bug that only later histories show, or that the first ones show at great length."""


def found_in(seeds: int, buses: int = 1, first: int = 0) -> int | None:
    """How many histories it takes until one fails."""
    for seed in range(first, first + seeds):
        try:
            simulate(SHOP, seed=seed, workload=shopping, buses=buses, shrink=False)
        except SimulationFailed:
            return seed + 1
    return None


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found(bug: Callable[[Any], None], record_property: Callable[[str, object], None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        histories = found_in(HISTORIES_MAX, first=FIRST_SEED.get(bug.__name__, 0))
    assert histories is not None, f"{HISTORIES_MAX} histories did not find it"
    record_property("histories", histories)


@pytest.mark.parametrize("bug", SHARED_BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_planted_where_buses_share_their_stores_is_found(
    bug: Callable[[Any], None], record_property: Callable[[str, object], None]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        histories = found_in(HISTORIES_MAX, 2)
    assert histories is not None, f"{HISTORIES_MAX} histories did not find it"
    record_property("histories", histories)


def test_without_a_bug_nothing_is_found() -> None:
    assert found_in(30) is None
    assert found_in(10, 2) is None
