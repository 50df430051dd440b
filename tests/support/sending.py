"""Senders for tests: tasks that wait for an outcome while the test goes on."""

from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus

from bus import Bus, BusError, Command, Receipt
from bus.core.messages import Recorded


class Sent:
    """A command on its way."""

    def __init__(self) -> None:
        self._outcome: Receipt | BusError | None = None
        self._scope = anyio.CancelScope()
        self._done = anyio.Event()

    @property
    def is_done(self) -> bool:
        return self._done.is_set()

    def cancel(self) -> None:
        """Cancels the sender."""
        self._scope.cancel()

    async def outcome(self) -> Receipt | BusError:
        await self._done.wait()
        assert self._outcome is not None, "the sender was cancelled"
        return self._outcome

    async def receipt(self) -> Receipt:
        outcome = await self.outcome()
        assert isinstance(outcome, Receipt), repr(outcome)
        return outcome

    async def run(self, bus: Bus, command: Command, options: dict[str, Any], *, task_status: TaskStatus[None]) -> None:
        try:
            with self._scope:
                task_status.started()
                self._outcome = await bus.send(command, **options)
        except BusError as error:
            self._outcome = error
        finally:
            self._done.set()


async def begin(tasks: TaskGroup, bus: Bus, command: Command, **options: Any) -> Sent:
    """Sends in a task of its own; when this returns the command is in its mailbox."""
    sent = Sent()

    async def run(*, task_status: TaskStatus[None]) -> None:
        await sent.run(bus, command, options, task_status=task_status)

    await tasks.start(run)
    return sent


def receipt(outcome: Receipt | BusError) -> Receipt:
    """The outcome, which must be a receipt."""
    assert isinstance(outcome, Receipt), repr(outcome)
    return outcome


async def recorded(bus: Bus) -> list[Recorded[Any]]:
    """All that is in the store."""
    return [one async for one in bus.events()]


async def names(bus: Bus) -> list[str]:
    """All that is in the store: `stream version event`."""
    return [f"{one.stream} {one.version} {type(one.event).__name__}" async for one in bus.events()]
