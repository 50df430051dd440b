"""Processes killed at each step of a switch to rebuilt views: the next one goes on, and no event is missing."""

import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from bus import Bus
from bus.core.builds import Build
from tests.architecture.tree import ROOT
from tests.crashes.stores import NewStores, Stores
from tests.crashes.switching import LIMITS, PATIENCE_S, STEPS, stores_of
from tests.support.building import raised
from tests.support.ledger import LEDGER, Deposit, GetBalance

DEPOSITS = 30
STATES = {
    "switching": [(1, "answering"), (2, "building")],
    "switched": [(1, "replaced"), (2, "answering")],
    "dropping": [(1, "replaced"), (2, "answering")],
    "dropped": [(2, "answering")],
}
"""Version and state of each build, as a process leaves them that is killed there."""


def urls(stores: Stores) -> tuple[str, str]:
    _, events, _, views = (one.removeprefix("sqlite:///") for one in stores.arguments)
    return events, views


async def filled(stores: Stores) -> None:
    """The present release has run for a while."""
    events, views = stores_of(*urls(stores))
    async with Bus(LEDGER, event_store=events, view_store=views, limits=LIMITS) as bus:
        await bus.send_many([Deposit(f"a-{number % 3}") for number in range(DEPOSITS)])
        await bus.wait_settled(timeout=PATIENCE_S)


async def left(stores: Stores) -> list[Build]:
    await stores.rest()
    async with stores.views() as store:
        return [one for one in await store.builds() if one.table.projection == "balances"]


async def checked(stores: Stores) -> None:
    """The next process answers from the new views, which hold each event once, and goes on with them."""
    events, views = stores_of(*urls(stores))
    async with Bus(raised(), event_store=events, view_store=views, limits=LIMITS) as bus:
        receipt = await bus.send(Deposit("a-0"))
        await bus.wait_settled(timeout=PATIENCE_S)
        seen: list[int] = []
        for account in ("a-0", "a-1", "a-2"):
            found = await bus.query(GetBalance(account), after=receipt, timeout=PATIENCE_S)
            assert found is not None
            assert found.balance == 2 * len(found.positions), "as the new version counts"
            assert found.positions == sorted(found.positions)
            seen += found.positions
        assert sorted(seen) == [*range(1, DEPOSITS + 2)]


def lived(stores: Stores, step: str) -> subprocess.CompletedProcess[str]:
    """A process of the next release, from its beginning to that step, or to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tests.crashes.switching", *urls(stores), step],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=3 * PATIENCE_S,
    )


@pytest.mark.timeout(240)
@pytest.mark.parametrize("step", STEPS)
def test_wherever_a_process_is_killed_that_switches_the_next_one_goes_on(
    new_stores: NewStores, tmp_path: Path, step: str
) -> None:
    folder = tmp_path / "switch"
    folder.mkdir()
    stores = new_stores(folder)
    anyio.run(filled, stores)
    ended = lived(stores, step)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, f"{step}\n"), ended.stderr
    builds = anyio.run(left, stores)
    assert [(one.table.version, one.state) for one in builds] == STATES[step]
    assert {one.checkpoint.position for one in builds} == {DEPOSITS}
    anyio.run(checked, stores)
    ended = lived(stores, "none")
    assert ended.returncode == 0, ended.stderr
    builds = anyio.run(left, stores)
    assert [(one.table.version, one.state, one.checkpoint.position) for one in builds] == [
        (2, "answering", DEPOSITS + 1)
    ]
