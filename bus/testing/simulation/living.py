"""Living: what one life of a process does: it opens a bus, lets senders work, comes to rest and closes in order."""

import dataclasses
import functools
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any

import anyio

from bus.bus import Bus
from bus.core.application import Application
from bus.core.errors import BusError, StoreUnavailable
from bus.core.messages import Recorded
from bus.core.projection import PARK, Projection
from bus.read.progress import Keys
from bus.testing.simulation.clients import Clients, Life, Workload
from bus.testing.simulation.loop import SimulatedLoop
from bus.testing.simulation.model import Violated
from bus.testing.simulation.stores import SimulatedEventStore, SimulatedViewStore
from bus.testing.simulation.world import EPOCH, World

SETTLE_S = 5_000.0
"""Virtual seconds for everything to come to rest once nothing goes wrong any more."""

TIDIED_S = 60.0
"""Virtual seconds for it to be found that a grace time is over."""


class SimulatedClock:
    """The loop's time, and a time of day that goes with it, save that no two machines quite agree on it."""

    def __init__(self, loop: SimulatedLoop, skew_s: float = 0.0) -> None:
        self.monotonic = loop.time
        self._epoch = EPOCH + timedelta(seconds=skew_s)

    def now(self) -> datetime:
        return self._epoch + timedelta(seconds=self.monotonic())


class Living:
    """What all lives of a history have in common."""

    def __init__(
        self,
        world: World,
        workload: Workload,
        commands: int,
        *,
        quiet: Callable[[Life], Awaitable[None]],
        rested: Callable[[Life], Awaitable[None]],
        settle_s: float = SETTLE_S,
    ) -> None:
        """`quiet` returns once nothing goes wrong any more, `rested` once an open bus is of no more use."""
        chance, faults = world.chance, world.faults
        self.clients = Clients(world, workload, commands)
        self._world = world
        self._quiet = quiet
        self._rested = rested
        self._settle_s = settle_s
        self._senders = chance.randint(1, 8)
        self.crashes = chance.randint(0, faults.crashes_max * world.buses)
        """How many are still to come."""
        self._closings = chance.randint(0, faults.closings_max * world.buses)
        self._application = _with_failing_projections(world, world.application)
        self._earlier = None if world.earlier is None else _with_failing_projections(world, world.earlier)
        self._earlier_lives = 0 if world.earlier is None else world.rebuilding.randint(1, world.buses + 1)
        """How many of the first run the release before."""

    def begin(self, number: int, clock: SimulatedClock, name: str = "") -> Life:
        """A life whose bus is not open yet."""
        world, clients = self._world, self.clients
        application = self._application
        if self._earlier is not None and number <= self._earlier_lives:
            application = self._earlier
        views = SimulatedViewStore(world, name, clock.now)
        events = SimulatedEventStore(world, clients.draw_command, lambda: _check_bounds(bus, world))
        bus = Bus(application, event_store=events, view_store=views, limits=world.limits, clock=clock, ids=clients.ids)
        return Life(number, bus, views.read_last, name, is_earlier=application is self._earlier)

    async def live(self, life: Life) -> bool:
        """One life that is not cut short; whether it finished what there was to do."""
        world, clients, bus = self._world, self.clients, life.bus
        async with anyio.create_task_group() as tasks, AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(bus)
            except StoreUnavailable:
                world.history.note("not opened")
                return False
            life.forget = bus._opened().write.abandon  # pyright: ignore[reportPrivateUsage]
            read = bus._opened().read  # pyright: ignore[reportPrivateUsage]
            life.tables = lambda: {name: one.table for name, one in read.projectors.items()}

            def moved(projection: str, changed: Keys) -> None:
                world.questions.moved(life.number, world.views)

            for progress in read.progress.values():
                progress.listen(moved)
            if self._closings or life.is_earlier:
                self._closings -= not life.is_earlier
                for _ in range(self._senders):
                    tasks.start_soon(clients.run, life)
                await anyio.sleep(world.chance.choice([0.0, 0.01, 0.5, 3.0]))
                world.history.note("close")
                life.is_closing = True
                return False
            async with anyio.create_task_group() as senders:
                for _ in range(self._senders):
                    senders.start_soon(clients.run, life)
            await self._quiet(life)
            await self._settle(bus)
            await self._tidied()
            await self._retry_all(bus)
            await self._rested(life)
        if bus.report is None or not bus.report.is_clean:
            world.fail(f"a bus that had settled was not closed in order: {bus.report}")
        return True

    async def _settle(self, bus: Bus) -> None:
        """Everything comes to rest, and nothing is left of all that was sent."""
        world = self._world
        try:
            await bus.wait_settled(timeout=self._settle_s)
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
        for one in told.projections:
            if one.position != world.model.head:
                world.fail(f"a bus at rest has {one.name!r} at {one.position}, but the store ends at {told.position}")

    async def _retry_all(self, bus: Bus) -> None:
        try:
            for name in self.clients.parking:
                done = await bus.retry_dead_letters(name, timeout=self._settle_s)
                if not done.is_done:
                    self._world.fail(f"letters of {name!r} are not retried, although all was mended: {done}")
        except BusError as error:
            self._world.fail(f"letters are not retried: {error}")

    async def _tidied(self) -> None:
        """What was replaced is dropped after its grace time, whoever is to do that."""
        world = self._world
        latest = anyio.current_time() + world.limits.replaced_grace_s + TIDIED_S + 2 * world.limits.lease_s
        while left := world.left_to_drop():
            if anyio.current_time() > latest:
                world.fail(f"nothing goes wrong any more, but somebody has left {' and '.join(left)}")
                return
            await anyio.sleep(0.5)


def check_end(loop: SimulatedLoop) -> None:
    """Raises `Violated` where something is left that should have ended, or went wrong unseen."""
    left = [task.get_name() for task in loop.tasks if not task.done()]
    if left:
        raise Violated(f"the bus was closed and left tasks behind: {', '.join(left)}")
    if loop.faults:
        raise Violated("; ".join(loop.faults))


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


def _with_failing_projections(world: World, application: Application) -> Application:
    """The application, each of whose projections raises at times, as a bug does that comes and goes."""

    def failing(projection: Projection[Any, Any]) -> Projection[Any, Any]:
        @functools.wraps(projection.project)
        def project(view: Any, recorded: Recorded[Any], key: str) -> Any:
            world.projection_fails(projection.name)
            if projection.on_poison is PARK:
                world.poisons(projection.name, recorded.position, key)
            return projection.project(view, recorded, key)

        previous = None if projection.previous is None else failing(projection.previous)
        return dataclasses.replace(projection, project=project, previous=previous)

    return dataclasses.replace(application, projections=[failing(one) for one in application.view_projections])
