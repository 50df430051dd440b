"""What holds for all tests: none leaves anything behind, and what chance draws is the same at each run.

`make fuzz` runs the tests of `tests/fuzzing` with ever new seeds instead; see there.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.personal import Watch

TESTS = Path(__file__).parent

pytest_plugins = ("pytester", "tests.support.leaks")

settings.register_profile(
    "steady",
    derandomize=True,
    database=None,
    # How long an example takes says more of the machine than of the code.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("chance", settings.get_profile("steady"), derandomize=False, print_blob=True)
settings.load_profile("steady")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order of the tests, and whose lines are counted.

    What is given the most time comes first: a long test that begins last has all other processes wait for it. The bus's
    own tests and the scenarios reach nearly every line; with the others counting would take longer than they do.
    """

    def given_s(item: pytest.Item) -> float:
        marker = item.get_closest_marker("timeout")
        return float(marker.args[0]) if marker is not None and marker.args else 0.0

    items.sort(key=given_s, reverse=True)
    for item in items:
        if not any(item.path.is_relative_to(TESTS / folder) for folder in ("bus", "scenarios")):
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(autouse=True)
def nothing_personal_is_logged() -> Iterator[None]:
    """Whatever a test does, the log holds nothing of what the application's code and messages hold."""
    watch, logger = Watch(), logging.getLogger("doubledecker")
    logger.addHandler(watch)
    yield
    logger.removeHandler(watch)
    assert not watch.leaks, f"personal data in the log: {watch.leaks}"
