"""Lives: one history as a row of processes over one disk, each from the opening of a bus to its end or its crash."""

import dataclasses
import functools
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any

import anyio

from bus.bus import Bus
from bus.core.application import Application
from bus.core.errors import BusError, StoreUnavailable
from bus.core.messages import Recorded
from bus.core.projection import Projection
from bus.testing.simulation.clients import Clients, Workload
from bus.testing.simulation.loop import SimulatedLoop, Stuck, simulated_loop
from bus.testing.simulation.model import Violated
from bus.testing.simulation.stores import SimulatedEventStore, SimulatedViewStore
from bus.testing.simulation.world import EPOCH, LATEST_S, World

SETTLE_S = 10_000.0
"""Virtual seconds for everything to come to rest once nothing goes wrong any more."""
LIFE_S = 100_000.0
"""Virtual seconds after which whoever still waits waits for ever; only timers that come again and again go by."""
LIVES_MAX = 30
"""Lives of one history; in the later half nothing goes wrong any more."""
LATE_S = 2 * LATEST_S
"""Virtual seconds in which a server does what it still has to do."""
CRASHES_WITHIN = (100, 1_000, 6_000)
"""A crash comes at a step of the event loop drawn from one of these spans; 200 commands take some 6,000 steps."""


class Simulation:
    """One history: several lives of one process over one world."""

    def __init__(self, world: World, workload: Workload, commands: int) -> None:
        chance, faults = world.chance, world.faults
        self.world = world
        self._clients = Clients(world, workload, commands)
        self._senders = chance.randint(1, 8)
        self._crashes = chance.randint(0, faults.crashes_max)
        self._closings = chance.randint(0, faults.closings_max)
        self._application = _with_failing_projections(world)
        self._forget: Callable[[], object] = lambda: None
        """Lets go of the commands of a life that is over, whose circles no collector of garbage sees."""

    def run(self) -> None:
        """Life after life, until everything was sent and has come to rest."""
        world, time = self.world, 0.0
        for life in range(1, LIVES_MAX + 1):
            world.is_calm = life > LIVES_MAX // 2
            loop = simulated_loop(world.schedule, time)
            world.history.clock = functools.partial(_clock, loop, life)
            store = ["a shared store"] if world.is_shared else []
            world.history.note("open", ", ".join(store + ["two appends at a time"] * (world.appends_at_once > 1)))
            world.resume_late(loop)
            finished = self._run_life(loop)
            time = loop.time()
            world.history.is_open = False
            loop.abandon()
            self._forget()
            world.history.is_open = True
            if finished or world.violation is not None:
                return
            self._clients.crash()
        world.fail(f"the history did not end within {LIVES_MAX} lives of its process")

    def _run_life(self, loop: SimulatedLoop) -> bool:
        """From one opening of the bus to its end, which may be a crash; whether the history is finished."""
        world = self.world
        crash_at = world.chance.randrange(1, world.chance.choice(CRASHES_WITHIN)) if self._crashes else None

        latest = loop.time() + LIFE_S

        def is_over() -> bool:
            if loop.time() > latest:
                world.fail(f"somebody waits for ever: in {LIFE_S:,.0f} s nothing has come of it")
            return world.violation is not None or loop.steps == crash_at

        finished: bool | None = None
        try:
            finished = loop.run(self._live(loop), is_over)
            if finished is None and world.violation is None:
                self._crashes -= 1
                world.crash()
            elif finished is not None:
                _check_end(loop)
                if finished:
                    self._clients.operations.check_all()
                    world.check_views()
        except Stuck as stuck:
            world.fail(f"somebody waits for ever: {stuck}")
        except Violated as error:
            world.fail(str(error))
        return bool(finished)

    async def _live(self, loop: SimulatedLoop) -> bool:
        """One life that is not cut short; whether it finished what there was to do."""
        world, clients = self.world, self._clients
        views = SimulatedViewStore(world)
        events = SimulatedEventStore(world, clients.draw_command, lambda: _check_bounds(bus, world))
        clients.checkpoints_read = views.least_read
        clock = SimulatedClock(loop)
        bus = Bus(
            self._application, event_store=events, view_store=views, limits=world.limits, clock=clock, ids=clients.ids
        )
        async with anyio.create_task_group() as tasks, AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(bus)
            except StoreUnavailable:
                world.history.note("not opened")
                return False
            self._forget = bus._opened().write.abandon  # pyright: ignore[reportPrivateUsage]
            if self._closings:
                self._closings -= 1
                for _ in range(self._senders):
                    tasks.start_soon(clients.run, bus)
                await anyio.sleep(world.chance.choice([0.0, 0.01, 0.5, 3.0]))
                world.history.note("close")
                clients.is_closing = True
                return False
            async with anyio.create_task_group() as senders:
                for _ in range(self._senders):
                    senders.start_soon(clients.run, bus)
            await self._settle(bus)
        if bus.report is None or not bus.report.is_clean:
            world.fail(f"a bus that had settled was not closed in order: {bus.report}")
        return True

    async def _settle(self, bus: Bus) -> None:
        """Nothing goes wrong any more: everything comes to rest, and nothing is left of all that was sent."""
        world = self.world
        world.is_calm = True
        world.history.note("calm")
        try:
            # What a server still has to do it does before anything can come to rest.
            await anyio.sleep(LATE_S)
            await bus.wait_settled(timeout=SETTLE_S)
        except BusError as error:
            world.fail(f"the bus does not come to rest: {error}")
            return
        told = bus.statistics()
        if told.commands_in_flight or told.mailboxes:
            world.fail(
                f"nobody waits, but the bus counts {told.commands_in_flight} in flight, {told.mailboxes} mailboxes"
            )
        if told.residents > world.limits.residents_max:
            world.fail(f"{told.residents} residents without commands, more than Limits.residents_max")
        if told.position != world.model.head:
            world.fail(f"the bus is at position {told.position}, but the store ends at {world.model.head}")


class SimulatedClock:
    """The loop's time, and a time of day that goes with it."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.monotonic = loop.time

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.monotonic())


def _clock(loop: SimulatedLoop, life: int) -> tuple[float, int]:
    return loop.time(), life


def _check_bounds(bus: Bus, world: World) -> None:
    """What statistics tell stays within the limits."""
    told, limits = bus.statistics(), world.limits
    if told.commands_in_flight > limits.bus_commands_max:
        world.fail(f"{told.commands_in_flight} commands in flight, more than Limits.bus_commands_max")
    # Who has work to do stays until its turn is over.
    if told.residents > limits.residents_max + limits.bus_commands_max:
        world.fail(f"{told.residents} residents, more than Limits.residents_max and those with commands")
    if told.restarts:
        world.fail("one of the bus's own tasks crashed")


def _check_end(loop: SimulatedLoop) -> None:
    left = [task.get_name() for task in loop.tasks if not task.done()]
    if left:
        raise Violated(f"the bus was closed and left tasks behind: {', '.join(left)}")
    if loop.faults:
        raise Violated("; ".join(loop.faults))


def _with_failing_projections(world: World) -> Application:
    """The application, each of whose projections raises at times, as a bug does that comes and goes."""

    def failing(projection: Projection[Any, Any]) -> Projection[Any, Any]:
        @functools.wraps(projection.project)
        def project(view: Any, recorded: Recorded[Any], key: str) -> Any:
            world.projection_fails(projection.name)
            return projection.project(view, recorded, key)

        return dataclasses.replace(projection, project=project)

    return dataclasses.replace(world.application, projections=[failing(one) for one in world.application.projections])
