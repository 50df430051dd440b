"""Rebuilding in simulated histories: views are built, switched to and dropped, and no answer is older than another."""

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest

from bus import Application, Command, Query
from bus.testing import Faults, SimulationFailed, simulate
from bus.testing.simulation.asking import Asked
from tests.simulation.planted_rebuilding import DOUBTED_BUGS, REBUILDING_BUGS, REBUILT_ANSWER_BUGS
from tests.simulation.shop import (
    CACHING_PARKING_SHOP,
    CACHING_SHOP,
    PARKING_SHOP,
    RAISED_CACHING_PARKING_SHOP,
    RAISED_CACHING_SHOP,
    RAISED_PARKING_SHOP,
    RAISED_SHOP,
    SHOP,
    looking,
    shopping,
)

pytestmark = pytest.mark.timeout(600)

HISTORIES_MAX = 500
REBUILT = Faults(rebuilds=1.0)
QUIETLY = msgspec.structs.replace(Faults.none(), rebuilds=1.0, slow=0.3)
"""Nothing but rebuilding, and time for everything: what is kept is soon dropped where more goes wrong."""

DOUBTED = msgspec.structs.replace(
    Faults.none(), rebuilds=1.0, slow=0.8, view_answer_lost=0.3, view_commit_late=0.3, lease_lapses=0.2
)
"""What is in the views is often not what their process knows of."""

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


def asking(chance: Random) -> Command | Query[Any]:
    """Much more asking than doing."""
    wants_answers = chance.random() < 0.8
    message = shopping(chance)
    while wants_answers and not isinstance(message, Query):
        message = shopping(chance)
    return message


def doubted(seed: int) -> str | None:
    """What is wrong with a history of two buses in which much is asked, and commits and leases are in doubt."""
    application, earlier = (RAISED_SHOP, SHOP) if seed % 2 else (SHOP, None)
    try:
        simulate(application, seed=seed, workload=asking, buses=2, faults=DOUBTED, shrink=False, earlier=earlier)
    except SimulationFailed as failed:
        return failed.violation
    return None


@pytest.mark.parametrize("bug", DOUBTED_BUGS)
def test_an_answer_older_than_one_before_is_found_where_commits_are_in_doubt(
    bug: Callable[[Any], None], record_property: Callable[[str, object], None]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        found = next(((seed, told) for seed in range(HISTORIES_MAX) if (told := doubted(seed)) is not None), None)
    assert found is not None, f"{HISTORIES_MAX} histories did not find it"
    seed, told = found
    assert "after an answer at" in told
    assert doubted(seed) is None
    record_property("histories", seed + 1)


def test_no_answer_is_older_than_one_before_where_commits_are_in_doubt() -> None:
    # 585 showed views that came back, empty, under the name of those that were dropped.
    assert [doubted(seed) for seed in range(570, 600)] == [None] * 30


@pytest.mark.parametrize(
    ("application", "earlier", "buses", "histories"),
    [
        (CACHING_SHOP, None, 1, 20),
        (RAISED_CACHING_SHOP, CACHING_SHOP, 1, 30),
        (RAISED_CACHING_SHOP, CACHING_SHOP, 2, 15),
        (RAISED_CACHING_PARKING_SHOP, CACHING_PARKING_SHOP, 3, 6),
    ],
    ids=["one release", "two releases", "two releases on two buses", "two releases that park on three"],
)
def test_each_answer_is_one_of_the_build_that_answers_in_that_build_s_version(
    application: Application, earlier: Application | None, buses: int, histories: int
) -> None:
    given = switched = 0
    for seed in range(histories):
        history = simulate(
            application, seed=seed, workload=looking, buses=buses, faults=REBUILT, shrink=False, earlier=earlier
        )
        given += history.counts["answer"] + history.counts["watched"]
        switched += history.counts["switch"]
    assert given > 10 * histories
    assert switched > histories


def answers_found_in(histories: int, buses: int) -> int | None:
    """How many histories of a new release, whose answers are kept, it takes until one fails."""
    for seed in range(histories):
        try:
            simulate(
                RAISED_CACHING_SHOP,
                seed=seed,
                workload=looking,
                buses=buses,
                faults=QUIETLY,
                shrink=False,
                earlier=CACHING_SHOP,
            )
        except SimulationFailed:
            return seed + 1
    return None


@pytest.mark.parametrize(("bug", "buses"), REBUILT_ANSWER_BUGS, ids=lambda value: getattr(value, "__name__", None))
def test_an_answer_of_another_build_is_found_by_what_it_says_and_by_nothing_else(
    bug: Callable[[Any], None], buses: int, record_property: Callable[[str, object], None]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        histories = answers_found_in(HISTORIES_MAX, buses)
        assert histories is not None, f"{HISTORIES_MAX} histories did not find it"
        patch.setattr(Asked, "check", lambda *_: None)
        assert answers_found_in(histories, buses) is None
    record_property("histories", histories)
