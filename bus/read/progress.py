"""Progress: how far one projection has come, and who waits for it."""

import math
from collections.abc import Callable
from typing import Any

import anyio

from bus.core.errors import ProjectionStopped, ProjectionTimeout
from bus.core.projection import Projection
from bus.runtime.reply import Reply

ChangeListener = Callable[[str, frozenset[str]], None]
"""Called with a projection's name and the keys of the views that a commit changed."""


class Progress:
    """The committed position of one projection; waiters are woken by the commit, never by a poll."""

    def __init__(self, projection: Projection[Any, Any], new_reply: Callable[[], Reply]) -> None:
        self.name = projection.name
        self._new_reply = new_reply
        self._waiters: list[tuple[int, Reply]] = []
        self._listeners: list[ChangeListener] = []
        self.position = 0
        """Views and checkpoint are committed up to here."""
        self.stopped: str | None = None
        """Why the projection stopped; None while it runs."""
        self.stopped_at = 0
        """Position of the event that it could not process."""

    def advance(self, position: int, changed: frozenset[str]) -> None:
        """Makes a commit known."""
        self.position = position
        if self._waiters:
            waiting: list[tuple[int, Reply]] = []
            for wanted, reply in self._waiters:
                if wanted > position:
                    waiting.append((wanted, reply))
                elif not reply.done():
                    reply.set_result(None)
            self._waiters = waiting
        if changed:
            for listener in list(self._listeners):
                listener(self.name, changed)

    def stop(self, position: int, reason: str) -> None:
        """Makes known that the projection stopped before the event at `position`; tells everybody who waits."""
        self.stopped = reason
        self.stopped_at = position
        waiters, self._waiters = self._waiters, []
        for _, reply in waiters:
            if not reply.done():
                reply.set_result(None)

    async def wait(self, position: int, deadline: float = math.inf) -> None:
        """Returns when `position` is committed; raises `ProjectionStopped` or `ProjectionTimeout`."""
        while self.position < position:
            if self.stopped is not None:
                raise ProjectionStopped(
                    f"projection {self.name!r} stopped at position {self.stopped_at}: {self.stopped}. What was sent is "
                    f"recorded, but nothing after position {self.position} is in its views; mend the cause and restart",
                    projection=self.name,
                    position=position,
                    reason=self.stopped,
                )
            entry = (position, self._new_reply())
            self._waiters.append(entry)
            with anyio.CancelScope(deadline=deadline) as scope:
                try:
                    await entry[1]
                finally:
                    if entry in self._waiters:
                        self._waiters.remove(entry)
            if scope.cancelled_caught and self.position < position:
                raise self.late(position)

    def late(self, position: int) -> ProjectionTimeout:
        """The error for who waited for `position` in vain."""
        return ProjectionTimeout(
            f"projection {self.name!r} is at position {self.position} and had not reached {position} in time. "
            "What was sent is recorded and will be projected; ask again later, or without `after`",
            projection=self.name,
            position=position,
            at=self.position,
        )

    def listen(self, listener: ChangeListener) -> None:
        self._listeners.append(listener)

    def unlisten(self, listener: ChangeListener) -> None:
        self._listeners.remove(listener)
