"""Processes: one history of several at a time over shared stores; each stands still, crashes and begins again."""

import asyncio
from contextlib import suppress

import anyio

from bus.core.errors import BusError
from bus.testing.simulation.clients import Life, Workload
from bus.testing.simulation.lives import CRASHES_WITHIN, LATE_S, LIVES_MAX
from bus.testing.simulation.living import Living, SimulatedClock, check_end
from bus.testing.simulation.loop import Process, Stuck, simulated_loop
from bus.testing.simulation.model import Violated
from bus.testing.simulation.world import World

SILENCE_S = 2_000.0
"""Virtual seconds without a new message after which whoever still waits waits for ever; to come to rest takes less."""
CIRCLE_STEPS = 20_000
"""Steps without any time after which somebody goes round in circles; 50 more for each event and projection."""
SETTLE_S = 500.0
"""Virtual seconds for every process to come to rest; less than for one alone, since those who share look for news."""
AGREED_S = 60.0
"""Virtual seconds for them to agree on who projects what: longer than anything still on its way may take."""
PAUSES_WITHIN = (50, 300, 2_000)
"""A process stands still at one of its steps that is drawn from one of these spans."""
KILLED = 0.2
"""The share of pauses that end with the end of the process."""


class Place:
    """Where one process after the other runs."""

    def __init__(self, letter: str, clock: SimulatedClock) -> None:
        self.letter = letter
        self.clock = clock
        self.lives = 0
        self.life: Life | None = None
        """None until the next one begins."""
        self.process = Process("")
        self.task: asyncio.Task[bool] | None = None
        self.crash_at: int | None = None
        self.pause_at: int | None = None
        self.is_quiet = False
        """Whether all of its senders have finished."""
        self.has_finished_writing = False
        self.has_rested = False
        self.is_finished = False


class Progress:
    """When something new was said last, and when time passed last."""

    def __init__(self) -> None:
        self.left = 0
        """Messages still to be sent."""
        self.lives = 0
        """How many there were so far."""
        self.said_at = 0.0
        self.time = 0.0
        self.steps = 0
        """The loop's, when that time began."""


class Processes:
    """One history: several processes, and a world that they share.

    All run on one loop, whose steps are counted for each: between two steps one may be held, let go on, or ended.
    """

    def __init__(self, world: World, workload: Workload, commands: int) -> None:
        chance = world.chance
        self.world = world
        self._patience_s = 2 * world.limits.lease_s
        """What a process that is gone may cost the others, on top of everything else."""
        self._settle_s = SETTLE_S + self._patience_s
        self._living = Living(
            world, workload, commands, quiet=self._quiet, rested=self._rested, settle_s=self._settle_s
        )
        self._pauses = chance.randint(0, world.faults.pauses_max * world.buses)
        """How many are still to come."""
        self._lives = 0
        self._progress = Progress()
        self._loop = simulated_loop(world.schedule, 0.0)
        self._places = [
            # Never the same time of day, to the microsecond, in two of them.
            Place(letter, SimulatedClock(self._loop, chance.choice([0.0, 0.3, 2.0]) + number * 1e-6))
            for number, letter in zip(range(1, world.buses + 1), "ABCDEFGHIJKLMNOPQRSTUVWXYZ", strict=False)
        ]
        self._calm = anyio.Event()
        """Set when nothing goes wrong any more."""
        self._written = anyio.Event()
        """Set when nobody appends any more."""
        self._at_rest = anyio.Event()
        """Set when all have come to rest."""
        self._closing = anyio.Event()
        """Set when they agree on who projects what."""
        self._over = anyio.Event()
        self._place_by_process: dict[Process, Place] = {}
        self._has_news = False
        """Whether a place has come to where all others are waited for, which is looked at once."""

    def run(self) -> None:
        """Until everything was sent, all have come to rest, and were closed."""
        world, loop = self.world, self._loop
        world.history.clock = lambda: (loop.time(), loop.process.name)
        try:
            loop.run(self._main(), self._is_over)
            if world.violation is None:
                check_end(loop)
                self._living.clients.operations.check_all()
                world.check_views()
        except Stuck as stuck:
            world.fail(f"somebody waits for ever: {stuck}")
        except Violated as error:
            world.fail(str(error))
        finally:
            world.history.is_open = False
            loop.abandon()
            for life in [place.life for place in self._places if place.life is not None]:
                life.forget()

    async def _main(self) -> None:
        for place in self._places:
            self._begin(place)
        await self._at_rest.wait()
        latest = self._loop.time() + AGREED_S + self._patience_s
        while (wrong := self._wrong_holder()) is not None:
            if self._loop.time() > latest:
                self.world.fail(wrong)
            await anyio.sleep(0.2)
        self._closing.set()
        await self._over.wait()

    # What a life waits for.

    async def _quiet(self, life: Life) -> None:
        self._place_of(life).is_quiet = self._has_news = True
        await self._calm.wait()
        await anyio.sleep(LATE_S)
        # One that is at rest itself may still hear of what another has under way, so all come to rest twice.
        with suppress(BusError):
            await life.bus.wait_settled(timeout=self._settle_s)
        self._place_of(life).has_finished_writing = self._has_news = True
        await self._written.wait()

    async def _rested(self, life: Life) -> None:
        self._place_of(life).has_rested = self._has_news = True
        await self._closing.wait()

    def _place_of(self, life: Life) -> Place:
        (place,) = [place for place in self._places if place.life is life]
        return place

    # What happens between two steps.

    def _is_over(self) -> bool:
        self._check_progress()
        if (process := self._loop.stepped) is not None and (place := self._place_by_process.get(process)) is not None:
            self._look_at(place, process)
        if self._has_news:
            self._has_news = False
            self._tell_all()
        return self.world.violation is not None

    def _look_at(self, place: Place, process: Process) -> None:
        """A process has taken a step, which may have been its last one for now."""
        if place.task is None or place.process is not process:
            return
        if place.task.done():
            self._ended(place, place.task)
        elif process.steps == place.crash_at and not self.world.is_calm and self._living.crashes:
            self._living.crashes -= 1
            self._crash(place)
        elif process.steps == place.pause_at and not self.world.is_calm and self._pauses:
            self._pauses -= 1
            self._pause(place)

    def _tell_all(self) -> None:
        """Lets go on who waits for all others, where these have come as far."""
        if not self._calm.is_set() and all(place.is_quiet for place in self._places):
            self._end_faults()
        if not self._written.is_set() and all(place.has_finished_writing for place in self._places):
            self._written.set()
        if not self._at_rest.is_set() and all(place.has_rested for place in self._places):
            self._at_rest.set()
        if all(place.is_finished for place in self._places):
            self._over.set()

    def _check_progress(self) -> None:
        loop, last, left, now = self._loop, self._progress, self._living.clients.left, self._loop.time()
        if left != last.left or self._lives != last.lives:
            last.left, last.lives, last.said_at = left, self._lives, now
        elif now > last.said_at + SILENCE_S + 4 * self._patience_s:
            self.world.fail(f"somebody waits for ever: since {last.said_at:,.0f} s nothing new was said")
        if now > last.time:
            last.time, last.steps = now, loop.steps
            return
        steps = loop.steps - last.steps
        if steps > CIRCLE_STEPS and steps > CIRCLE_STEPS + 50 * self.world.model.head * len(self.world.holders()):
            self.world.fail(f"somebody goes round in circles: no time has passed in {steps:,} steps")

    def _begin(self, place: Place) -> None:
        world, chance = self.world, self.world.chance
        self._lives += 1
        if self._lives > LIVES_MAX * world.buses:
            world.fail(f"the history did not end within {self._lives - 1} lives of its processes")
            return
        world.is_calm = world.is_calm or self._lives > LIVES_MAX * world.buses // 2
        place.lives += 1
        place.process = Process(f"{place.letter}{place.lives}")
        place.is_quiet = place.has_finished_writing = place.has_rested = False
        place.crash_at = chance.randrange(1, chance.choice(CRASHES_WITHIN)) if self._living.crashes else None
        self._draw_pause(place)
        world.history.note("open", place.process.name)
        place.life = self._living.begin(self._lives, place.clock, place.process.name)
        self._place_by_process[place.process] = place
        with self._loop.within(place.process):
            place.task = self._loop.create_task(self._living.live(place.life))

    def _begin_later(self, place: Place) -> None:
        """Another process takes the place of one that is over, now or when its leases have lapsed."""
        assert place.life is not None, "only a life that began is over"
        self._living.clients.crash(place.life)
        place.life = place.task = None
        delay_s = self.world.chance.choice([0.0, 0.01, 0.5, 2 * self.world.limits.lease_s])
        self._loop.call_later(0.0 if self.world.is_calm else delay_s, self._begin, place)

    def _ended(self, place: Place, task: asyncio.Task[bool]) -> None:
        """A life has come to its end, in order or not."""
        place.task = None
        if (error := task.exception()) is not None:
            self.world.fail(f"process {place.process.name} ended with {error!r}")
        elif task.result():
            place.is_finished = self._has_news = True
        else:
            self._begin_later(place)

    def _crash(self, place: Place) -> None:
        assert place.life is not None, "what crashes is alive"
        self.world.crash(place.process.name)
        self.world.history.is_open = False
        self._loop.end(place.process, place.life.forget)
        self.world.history.is_open = True
        self._begin_later(place)

    def _draw_pause(self, place: Place) -> None:
        chance = self.world.chance
        within = chance.randrange(1, chance.choice(PAUSES_WITHIN)) if self._pauses else None
        place.pause_at = None if within is None else place.process.steps + within

    def _pause(self, place: Place) -> None:
        chance, lease_s = self.world.chance, self.world.limits.lease_s
        place.pause_at = None
        pause_s = chance.choice([0.01, 0.5 * lease_s, 1.2 * lease_s, 3 * lease_s])
        self.world.history.note("PAUSE", f"{place.process.name} for {pause_s:.2f} s")
        self._loop.hold(place.process)
        self._loop.call_later(pause_s, self._resume, place, place.process)

    def _resume(self, place: Place, process: Process) -> None:
        if process.is_over or not process.is_paused:
            return
        world = self.world
        if self._living.crashes and world.happens(KILLED):
            self._living.crashes -= 1
            self._crash(place)
            return
        assert place.life is not None, "who stands still is alive"
        world.history.note("RESUME", process.name)
        place.life.resumed_at = self._loop.time()
        self._draw_pause(place)
        self._loop.let_go(process)

    def _end_faults(self) -> None:
        self.world.is_calm = True
        self.world.history.note("calm")
        for place in self._places:
            self._resume(place, place.process)
        self._calm.set()

    def _wrong_holder(self) -> str | None:
        """What is wrong with who projects what: each projection is run by the process that it is granted to, alone."""
        here: dict[str, list[str]] = {one.name: [] for one in self.world.application.projections}
        for place in self._places:
            assert place.life is not None, "who has rested is alive"
            for one in place.life.bus.statistics().projections:
                if one.is_here:
                    here[one.name].append(place.process.name)
        for name, holder in self.world.holders().items():
            if here[name] != [holder]:
                return f"projection {name!r} is granted to {holder}, but run by {' and '.join(here[name]) or 'nobody'}"
        return None
