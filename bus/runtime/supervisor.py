"""Supervisor: starts the bus's tasks in a clean context and restarts one that crashed, with backoff."""

import contextvars
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

from bus.core.limits import Limits
from bus.core.reports import Failed
from bus.ports import Telemetry
from bus.runtime.log import log
from bus.runtime.telemetry import NoTelemetry


def backoff_s(first: float, longest: float, attempt: int) -> float:
    """How long to wait after the attempt of that number, counted from 1."""
    return float(min(longest, first * 2.0 ** min(attempt - 1, 30)))


class Supervisor:
    """Owns nothing but the rule: a crash of one task is logged and never reaches another task or the caller."""

    def __init__(self, tasks: TaskGroup, limits: Limits, telemetry: Telemetry | None = None) -> None:
        self._tasks = tasks
        self._limits = limits
        self._telemetry = telemetry or NoTelemetry()
        self._scopes: dict[anyio.CancelScope, None] = {}
        """In the order in which the tasks began, in which they are told to end."""
        self._is_stopped = False
        self.restarts = 0
        """Crashes so far; above zero means a bug in the bus or in an adapter."""
        self.is_broken = False
        """Whether a task was ended by more than an `Exception`, such as an exit of the process; it is not restarted."""

    def start(self, name: str, task: Callable[[], Awaitable[None]]) -> None:
        """Runs `task` until it returns; when it raises, again after a pause. Nothing begins once all were stopped."""
        if self._is_stopped:
            return
        # In an empty context no task inherits the trace of whoever happened to start it.
        contextvars.Context().run(lambda: self._tasks.start_soon(self._keep_running, name, task, name=name))

    def stop(self) -> None:
        """Cancels all tasks, once and for all."""
        self._is_stopped = True
        for scope in self._scopes:
            scope.cancel()

    async def _keep_running(self, name: str, task: Callable[[], Awaitable[None]]) -> None:
        # Where the scope around the bus is cancelled its tasks go on, to finish what is in flight, until they are told.
        with anyio.CancelScope(shield=True) as scope:
            if self._is_stopped:
                return
            self._scopes[scope] = None
            try:
                await self._restart(name, task)
            except BaseException:
                self.is_broken = self.is_broken or not self._is_stopped
                raise
            finally:
                del self._scopes[scope]

    async def _restart(self, name: str, task: Callable[[], Awaitable[None]]) -> None:
        attempt = 0
        while True:
            started = anyio.current_time()
            try:
                await task()
                return
            except Exception as error:
                if anyio.current_time() - started > self._limits.restart_backoff_max_s:
                    # It worked for a while: this is a new misfortune and not the last one again.
                    attempt = 0
                attempt += 1
                self.restarts += 1
                log.exception("task crashed and is restarted", task=name, attempt=attempt)
                self._telemetry.failed(Failed("task", name, attempt, error))
            await anyio.sleep(backoff_s(self._limits.restart_backoff_s, self._limits.restart_backoff_max_s, attempt))
