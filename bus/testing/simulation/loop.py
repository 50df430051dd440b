"""SimulatedLoop: an asyncio event loop on virtual time, on which a seed decides who runs next."""

import asyncio
import heapq
import warnings
from bisect import insort
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context, copy_context
from random import Random
from typing import Any, TypeVar

from bus.runtime.reply import Wakings

T = TypeVar("T")


class Stuck(Exception):
    """Every task waits for another one, and no timer will ever wake any of them."""


class Process:
    """The tasks and callbacks that stand still together, and end together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.steps = 0
        self.is_paused = False
        self.is_over = False
        self.held: list[Call] = []
        """What would have had its turn while the process stood still."""


class Call:
    """A callback that waits for its turn; what `call_soon` and its like return."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "process", "task", "wakings", "when_due")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None, process: Process
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = context if context is not None else copy_context()
        owner = getattr(callback, "__self__", None)
        self.task = 0
        """The number of the task whose turn it is; 0 where it is no task's."""
        self.wakings: Wakings | None = None
        """Whom it wakes, where that may be several."""
        if isinstance(owner, NumberedTask):
            self.task = owner.number
            process = owner.process
        elif isinstance(owner, Wakings):
            self.wakings = owner
        self.process = process
        self.is_cancelled = process.is_over
        self.when_due = 0.0

    def cancel(self) -> None:
        self.is_cancelled = True

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        """The loop's time at which it is due, where it waits for one."""
        return self.when_due


class NumberedTask(asyncio.Task[Any]):
    """A task that knows how many came before it, which means the same in every process."""

    def __init__(self, coroutine: Any, *, loop: "SimulatedLoop", name: str | None, context: Context | None) -> None:
        self.number: int = loop.next_number()
        self.process: Process = loop.process
        super().__init__(coroutine, loop=loop, name=name or f"task-{self.number}", context=context)


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs one callback at a time: of the tasks that are ready any one, of all else what came first.

    The choice rests on the numbers of the tasks and on chance alone, never on the order in which a set or an address
    had them; so the same seed gives the same history in every process. Time stands still while anything is ready, and
    then jumps to the next timer. There are no sockets, threads or signals.

    A task belongs to the process that made it, as does each timer and callback that is no task's own; what is asked for
    from outside belongs to the world. A process can be held, let go on and ended, and the others notice nothing.
    """

    def __init__(self, chance: Random, *, time: float = 0.0) -> None:
        self._chance = chance
        self._now = time
        self._ready: list[tuple[int, int, Call]] = []
        """The tasks that are ready, by number; the second number tells calls of the same task apart."""
        self._calls: deque[Call] = deque()
        self._timers: list[tuple[float, int, Call]] = []
        self._numbers = 0
        self._order = 0
        self._is_running = False
        self.world = Process("")
        self.process: Process = self.world
        """Whose turn it is."""
        self.stepped: Process | None = None
        """Whose turn it was last; None where time has passed instead."""
        self.steps = 0
        self.tasks: list[asyncio.Task[Any]] = []
        self.faults: list[str] = []
        """What asyncio would have logged: exceptions that nobody took."""

    # What runs.

    def run(self, main: Coroutine[Any, Any, T], is_over: Callable[[], bool]) -> T | None:
        """Runs `main` to its end, or until `is_over`, which is asked after each step; None in that case.

        Raises `Stuck` where nothing can happen any more.
        """
        with self._current():
            task = self.create_task(main)
            while not task.done():
                self._step()
                if is_over():
                    return None
        result: T = task.result()
        return result

    def abandon(self) -> None:
        """Ends all tasks where they are, as the end of a process does: nothing of them is run any further.

        What their `finally` blocks do on the way out they do without a loop, and so to nobody.
        """
        _close(self.tasks)
        self.tasks.clear()
        self._ready.clear()
        self._calls.clear()
        self._timers.clear()

    @contextmanager
    def within(self, process: Process) -> Generator[None]:
        """What is begun in this block belongs to the process."""
        before, self.process = self.process, process
        try:
            yield
        finally:
            self.process = before

    def hold(self, process: Process) -> None:
        """Has the process stand still, wherever it is; what others have promised to it waits."""
        process.is_paused = True
        process.held = [call for _, _, call in self._ready if call.process is process]
        process.held += [call for call in self._calls if call.process is process]
        self._ready = [one for one in self._ready if one[2].process is not process]
        self._calls = deque([call for call in self._calls if call.process is not process])

    def let_go(self, process: Process) -> None:
        """The process goes on; whatever came due meanwhile does so now."""
        process.is_paused = False
        held, process.held = process.held, []
        for call in held:
            self._enqueue(call)

    def end(self, process: Process, last: Callable[[], object]) -> None:
        """As `abandon`, of one process alone; `last` is done in its name, and comes to nothing either."""
        process.is_over = True
        waiting = [call for _, _, call in self._ready] + list(self._calls) + [call for _, _, call in self._timers]
        for call in [*waiting, *process.held]:
            call.is_cancelled |= call.process is process
        process.held.clear()
        ended = [task for task in self.tasks if isinstance(task, NumberedTask) and task.process is process]
        self.tasks = [task for task in self.tasks if task not in ended]
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            with self.within(process):
                _close(ended)
                last()
        finally:
            asyncio._set_running_loop(running)

    def _step(self) -> None:
        """One callback of one task or timer."""
        ready, calls = self._ready, self._calls
        self.stepped = None
        if not ready and not calls:
            self._pass_time()
            return
        self.steps += 1
        if calls and (not ready or self._chance.random() * (len(ready) + 1) < 1):
            call = calls.popleft()
        else:
            _, _, call = ready.pop(int(self._chance.random() * len(ready)))
        if call.is_cancelled:
            return
        self.process = self.stepped = call.process
        self.process.steps += 1
        try:
            if call.wakings is not None:
                # Whom it would wake in a row are woken as chance has it.
                call.wakings.due.sort(key=_number_of_waiter)
                call.wakings.spread()
                return
            call.context.run(call.callback, *call.args)
        except Exception as error:
            self.faults.append(f"a callback raised {error!r}")
        finally:
            self.process = self.world

    def _pass_time(self) -> None:
        timers = self._timers
        while timers and timers[0][2].is_cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Stuck("every task waits for another one, and no timer will wake any of them")
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            call = heapq.heappop(timers)[2]
            if not call.is_cancelled:
                self._enqueue(call)

    def _enqueue(self, call: Call) -> None:
        if call.is_cancelled:
            return
        if call.process.is_paused:
            call.process.held.append(call)
            return
        if call.task:
            self._order += 1
            insort(self._ready, (call.task, self._order, call))
        else:
            self._calls.append(call)

    @contextmanager
    def _current(self) -> Generator[None]:
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        self._is_running = True
        try:
            yield
        finally:
            self._is_running = False
            asyncio._set_running_loop(before)

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    # What asyncio asks of a loop.

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        call = Call(callback, args, context, self.process)
        self._enqueue(call)
        return call

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        call = Call(callback, args, context, self.process)
        call.when_due = when
        if when == float("inf"):
            return call
        self._order += 1
        heapq.heappush(self._timers, (when, self._order, call))
        return call

    def time(self) -> float:
        return self._now

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **options: Any
    ) -> asyncio.Task[Any]:
        task = NumberedTask(coro, loop=self, name=name, context=context)
        self.tasks.append(task)
        if len(self.tasks) > 100 and len(self.tasks) % 100 == 0:
            self.tasks = [one for one in self.tasks if not one.done()]
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.faults.append(f"{context.get('message')}: {context.get('exception')!r}")

    def get_task_factory(self) -> None:
        return None

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._is_running

    def is_closed(self) -> bool:
        return False


def simulated_loop(chance: Random, time: float) -> SimulatedLoop:
    """A loop whose clock begins at `time`."""
    # What it leaves out raises `NotImplementedError`, as asyncio has it.
    return SimulatedLoop(chance, time=time)  # type: ignore[abstract]


def _close(tasks: Sequence[asyncio.Task[Any]]) -> None:
    with warnings.catch_warnings():
        # One that had not even begun would complain of it.
        warnings.simplefilter("ignore", RuntimeWarning)
        for task in tasks:
            if not task.done():
                # It would complain of being destroyed, which is the point.
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                coroutine: Any = task.get_coro()
                with suppress(BaseException):
                    coroutine.close()


def _number_of_waiter(reply: Any) -> int:
    number: int = reply.wake.__self__.number
    return number
