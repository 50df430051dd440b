"""With snapshots after every other event nothing that is promised changes, and a wrong snapshot is found."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from bus import Application, Decider, Snapshots
from bus.core.snapshots import SnapshotCodec
from bus.testing import SimulationFailed, simulate
from bus.write.directory import Actor
from bus.write.recovery import Found, Recovery
from bus.write.snapshotting import Snapshotting
from tests.simulation.shop import ITEM, SHOP, shopping

pytestmark = pytest.mark.timeout(600)

Patch = pytest.MonkeyPatch

KEPT = Decider(
    category=ITEM.category,
    initial=ITEM.initial,
    identify=ITEM.identify,
    decide=ITEM.decide,
    evolve=ITEM.evolve,
    snapshots=Snapshots(version=1, every_events=2),
)
SHOP_WITH_SNAPSHOTS = Application(
    deciders=[KEPT], projections=SHOP.projections, query_handlers=SHOP.query_handlers, upcasters=SHOP.upcasters
)


def found_in(seeds: int) -> int | None:
    """How many histories it takes until one fails."""
    for seed in range(seeds):
        try:
            simulate(SHOP_WITH_SNAPSHOTS, seed=seed, workload=shopping, shrink=False)
        except SimulationFailed:
            return seed + 1
    return None


def keep_the_state_of_a_version_too_late(patch: Patch) -> None:
    """A snapshot says that it holds one event more than it does."""
    look = Snapshotting.look

    def hasty(self: Snapshotting, actors: Iterable[Actor]) -> None:
        some = list(actors)
        before = {actor: actor.version for actor in some}
        for actor in some:
            actor.version += 1
        look(self, some)
        for actor in some:
            actor.version = before[actor]

    patch.setattr(Snapshotting, "look", hasty)


def fold_the_tail_on_the_initial_state(patch: Patch) -> None:
    """A snapshot's version is believed, and its state forgotten."""

    def forgetful(self: Recovery, found: Found, snapshot: Any) -> None:
        assert isinstance(found.decider.snapshot_codec, SnapshotCodec)
        found.snapshot_version = snapshot.version

    patch.setattr(Recovery, "_begin", forgetful)


def test_without_a_bug_nothing_is_found() -> None:
    assert found_in(100) is None


@pytest.mark.parametrize("bug", [keep_the_state_of_a_version_too_late, fold_the_tail_on_the_initial_state])
def test_a_planted_bug_is_found(bug: Callable[[Patch], None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        assert found_in(500) is not None
