"""Simulate: runs an application through seeded histories, and replays one from its seed."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Final

from cyclopts import Parameter, validators
from rich.console import Console
from rich.progress import track

from adapters.cli.applications import DEMO, load_application, load_function
from bus.testing import History, SimulationFailed, Workload
from bus.testing import simulate as simulated

SHOWN: Final = 8
"""How many kinds of what happened a summary names."""

_AtLeastOne = Annotated[int, Parameter(validator=validators.Number(gte=1))]
_NotNegative = Annotated[int, Parameter(validator=validators.Number(gte=0))]


def simulate(
    *,
    app: str = DEMO,
    seed: _NotNegative = 0,
    seeds: _AtLeastOne = 1,
    commands: _AtLeastOne = 200,
    buses: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=26))] = 1,
    workload: str | None = None,
) -> int:
    """Run an application through seeded histories in which everything goes wrong, and check every promise.

    A single history is written out line by line. The first that fails is shortened, and its seed brings it about again.

    Parameters
    ----------
    app
        The application, as MODULE:NAME; modules of the current directory are found. By default the demo's.
    seed
        The seed of the first history; the same seed gives the same history.
    seeds
        How many histories, of this seed and those that follow it.
    commands
        How many messages each history sends.
    buses
        How many buses, each in a process of its own, share the stores of a history.
    workload
        A function, as MODULE:NAME, that draws the next command or query from a random.Random. Without it, messages are
        made up from the types of the application's commands and queries.
    """
    application = load_application(app)
    draw: Workload | None = None if workload is None else load_function(workload, "workload")
    happened: Counter[str] = Counter()
    history: History | None = None
    for number in _followed(range(seed, seed + seeds)):
        try:
            history = simulated(application, seed=number, commands=commands, workload=draw, buses=buses)
        except SimulationFailed as failure:
            print(f"Seed {number} failed: {failure}")
            return 1
        happened.update(history.counts)
    if seeds == 1 and history is not None:
        print("\n".join(history.lines))
        print(f"\nSeed {seed} keeps every promise. Its history has {len(history.lines)} lines; digest {history.digest}")
        return 0
    most = ", ".join([f"{count:,} {kind}" for kind, count in happened.most_common(SHOWN)])
    print(f"{seeds:,} histories from seed {seed} on keep every promise. Among what happened: {most}")
    return 0


def _followed(seeds: range) -> Iterator[int] | Iterable[int]:
    """The seeds, with a bar for whoever watches."""
    if len(seeds) == 1 or not sys.stderr.isatty():
        return seeds
    return track(seeds, description="Simulating", console=Console(stderr=True), transient=True)
