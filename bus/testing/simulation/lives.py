"""Lives: one history as a row of processes over one disk, each from the opening of a bus to its end or its crash."""

import functools

import anyio

from bus.testing.simulation.clients import Life, Workload
from bus.testing.simulation.living import Living, SimulatedClock, check_end
from bus.testing.simulation.loop import SimulatedLoop, Stuck, simulated_loop
from bus.testing.simulation.model import Violated
from bus.testing.simulation.world import LATEST_S, World

LIFE_S = 20_000.0
"""Virtual seconds after which whoever still waits waits for ever; only timers that come again and again go by.

The longest of a thousand lives with all faults lasts 1,100.
"""
LIVES_MAX = 30
"""Lives of one history; in the later half nothing goes wrong any more."""
LATE_S = 2 * LATEST_S
"""Virtual seconds in which a server does what it still has to do."""
CRASHES_WITHIN = (100, 1_000, 6_000)
"""A crash comes at a step of the event loop drawn from one of these spans; 200 commands take some 6,000 steps."""


class Simulation:
    """One history: several lives of one process over one world."""

    def __init__(self, world: World, workload: Workload, commands: int) -> None:
        self.world = world
        self._living = Living(world, workload, commands, quiet=self._calm, rested=_close)

    def run(self) -> None:
        """Life after life, until everything was sent and has come to rest."""
        world, time = self.world, 0.0
        for number in range(1, LIVES_MAX + 1):
            world.is_calm = number > LIVES_MAX // 2
            loop = simulated_loop(world.schedule, time)
            world.history.clock = functools.partial(_clock, loop, str(number))
            store = ["a shared store"] if world.is_shared else []
            world.history.note("open", ", ".join(store + ["two appends at a time"] * (world.appends_at_once > 1)))
            world.resume_late(loop)
            life = self._living.begin(number, SimulatedClock(loop))
            finished = self._run_life(loop, life)
            time = loop.time()
            world.history.is_open = False
            loop.abandon()
            life.forget()
            world.history.is_open = True
            if finished or world.violation is not None:
                return
            self._living.clients.crash(life)
        world.fail(f"the history did not end within {LIVES_MAX} lives of its process")

    def _run_life(self, loop: SimulatedLoop, life: Life) -> bool:
        """From one opening of the bus to its end, which may be a crash; whether the history is finished."""
        world, living = self.world, self._living
        crash_at = world.chance.randrange(1, world.chance.choice(CRASHES_WITHIN)) if living.crashes else None
        latest = loop.time() + LIFE_S

        def is_over() -> bool:
            if loop.time() > latest:
                world.fail(f"somebody waits for ever: in {LIFE_S:,.0f} s nothing has come of it")
            return world.violation is not None or loop.steps == crash_at

        finished: bool | None = None
        try:
            finished = loop.run(living.live(life), is_over)
            if finished is None and world.violation is None:
                living.crashes -= 1
                world.crash()
            elif finished is not None:
                check_end(loop)
                if finished:
                    living.clients.operations.check_all()
                    world.check_views()
        except Stuck as stuck:
            world.fail(f"somebody waits for ever: {stuck}")
        except Violated as error:
            world.fail(str(error))
        return bool(finished)

    async def _calm(self, life: Life) -> None:
        """Nothing goes wrong any more, and what a server still has to do it does."""
        self.world.is_calm = True
        self.world.history.note("calm")
        await anyio.sleep(LATE_S)


def _clock(loop: SimulatedLoop, life: str) -> tuple[float, str]:
    return loop.time(), life


async def _close(life: Life) -> None:
    """Nobody else is there who must have come to rest as well."""
