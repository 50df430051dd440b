"""Seeds that failed once, each under the name of what it found."""

import pytest

from bus.testing import Faults, simulate
from tests.simulation.shop import SHOP, shopping

FOUND = {
    155: "a no-op confirmed in a batch whose answer was lost was decided again, after an event that came after it",
    7_216: "after an unknown outcome the bus did not learn where its store ends",
    101_130: "views stayed behind events that were recorded though nobody knew",
    101_267: "a bus that had events to project said that it had settled",
}


@pytest.mark.parametrize("seed", FOUND, ids=FOUND.get)
def test_a_seed_that_failed_once_fails_no_more(seed: int) -> None:
    # They are of a time when all stores took one append at a time.
    simulate(SHOP, seed=seed, workload=shopping, faults=Faults(appends_together=0))
