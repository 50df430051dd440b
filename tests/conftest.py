"""What holds for all tests: none leaves anything behind, and what chance draws is the same at each run.

`make fuzz` runs the tests of `tests/fuzzing` with ever new seeds instead; see there.
"""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.personal import Watch

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
    """What is given the most time comes first: a long test that begins last has all other processes wait for it."""

    def given_s(item: pytest.Item) -> float:
        marker = item.get_closest_marker("timeout")
        return float(marker.args[0]) if marker is not None and marker.args else 0.0

    items.sort(key=given_s, reverse=True)


@pytest.fixture(autouse=True)
def nothing_personal_is_logged() -> Iterator[None]:
    """Whatever a test does, the log holds nothing of what the application's code and messages hold."""
    watch, logger = Watch(), logging.getLogger("doubledecker")
    logger.addHandler(watch)
    yield
    logger.removeHandler(watch)
    assert not watch.leaks, f"personal data in the log: {watch.leaks}"
