"""Simulate: one seeded history of an application, checked against its own pure functions, and shortened if it fails."""

import dataclasses
import logging
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import anyio

from bus.core.application import Application
from bus.core.limits import Limits
from bus.testing.simulation.clients import Workload
from bus.testing.simulation.faults import Faults
from bus.testing.simulation.history import History
from bus.testing.simulation.lives import Simulation
from bus.testing.simulation.processes import Processes
from bus.testing.simulation.workloads import generated
from bus.testing.simulation.world import Invariant, World

COMMANDS = 200
BUSES_MAX = 26
"""Each process is named by a letter."""


class SimulationFailed(AssertionError):
    """A promise was broken; the same seed and number of commands bring it about again."""

    def __init__(self, violation: str, history: History, commands: int, buses: int = 1) -> None:
        self.violation = violation
        self.history = history
        self.seed = history.seed
        self.commands = commands
        self.buses = buses
        sharing = "" if buses == 1 else f"{buses} buses and "
        super().__init__(
            f"{violation}\n\nSeed {self.seed} with {sharing}{commands} commands does it again. What happened last:\n\n"
            f"      time life  what\n{history.last()}"
        )


def simulate(
    application: Application,
    *,
    seed: int,
    workload: Workload | None = None,
    faults: Faults | None = None,
    invariants: Sequence[Invariant] = (),
    commands: int = COMMANDS,
    limits: Limits | None = None,
    buses: int = 1,
    shrink: bool = True,
    earlier: Application | None = None,
) -> History:
    """Runs the application through one history, in virtual time and in memory; returns what happened.

    The same arguments give the same history, byte for byte, in any process. `workload(chance)` draws the next command
    or query; without it, messages are made up from the types of the application's commands and queries. `faults` says
    what may go wrong, by default everything. Each of `invariants` is called with the model (all events, states and
    views as the pure functions make them) after each append and raises `AssertionError` where something is wrong.

    Batch projections, and the queries that they answer, are left out: they need SQL.

    With more than one of `buses` so many processes share the stores: each stands still, crashes and is closed by
    itself, and they take over from each other. It is another history than the seed's with one.

    With `earlier` the first processes run that application, the release before: its events and queries are the same,
    and its projections are those that `application` names as `previous`, or has unchanged.

    Raises `SimulationFailed` where the bus broke a promise, an invariant does not hold, or the application's own code
    raised; with `shrink`, for the shortest history of that seed that was found to fail.
    """

    if not 1 <= buses <= BUSES_MAX:
        raise ValueError(f"{buses} buses cannot be simulated: say a number between 1 and {BUSES_MAX}")

    application = _without_sql(application)

    def run(length: int) -> tuple[str | None, History]:
        """The beginning of the history, with as many commands; a shorter one is the beginning of a longer one."""
        world = World(
            application,
            seed,
            faults=faults or Faults(),
            limits=limits or Limits(),
            invariants=invariants,
            buses=buses,
            earlier=earlier,
        )
        kind = Simulation if buses == 1 else Processes
        simulation = kind(world, workload or generated(application), length)
        with _quiet():
            _alone(simulation.run)
        return world.violation, world.history

    violation, history = run(commands)
    if violation is None:
        return history
    if shrink:
        commands, violation, history = _shortened(run, commands, violation, history)
    raise SimulationFailed(violation, history, commands, buses)


def _without_sql(application: Application) -> Application:
    """What of the application works in memory."""
    if not application.batch_projections:
        return application
    handlers = [handler for query, handler in application.handler_of.items() if query not in application.batches_of]
    return dataclasses.replace(application, projections=application.view_projections, query_handlers=handlers)


Run = Callable[[int], tuple[str | None, History]]


def _shortened(run: Run, commands: int, violation: str, history: History) -> tuple[int, str, History]:
    """The shortest prefix that fails: by leaps to the first length that does, then step by step before it."""
    sound, length = 0, 1
    while length < commands:
        found, told = run(length)
        if found is not None:
            commands, violation, history = length, found, told
            break
        sound, length = length, length + max(1, length // 3)
    for length in range(sound + 1, commands):
        found, told = run(length)
        if found is not None:
            return length, found, told
    return commands, violation, history


def _alone(run: Callable[[], None]) -> None:
    """Runs it where no event loop does: in an asynchronous test that is another thread."""
    try:
        anyio.get_current_task()
    except RuntimeError:
        run()
        return
    with ThreadPoolExecutor(1, "doubledecker-simulation") as threads:
        threads.submit(run).result()


@contextmanager
def _quiet() -> Generator[None]:
    """What the bus logs of failures that are meant is of no use to anybody."""
    logger = logging.getLogger("doubledecker")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
