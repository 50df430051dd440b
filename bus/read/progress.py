"""Progress: how far one projection has come, and who waits for it."""

import math
from collections.abc import Callable, Sequence

import anyio

from bus.core.batches import AnyProjection
from bus.core.errors import ProjectionStopped, ProjectionTimeout
from bus.runtime.reply import Reply

ChangeListener = Callable[[str, frozenset[str] | None], None]
"""Called with a projection's name and the keys of the views that a commit changed.

None stands for any: another process committed them, or the projection stopped.
"""


class Progress:
    """The committed position of one projection; waiters are woken by the commit, never by a poll."""

    def __init__(self, projection: AnyProjection, new_reply: Callable[[], Reply]) -> None:
        self.name = projection.name
        self.new_reply = new_reply
        self._waiters: dict[Reply, int] = {}
        """The positions that are waited for. A dictionary, since many may wait and each leaves by itself."""
        self._listeners: list[ChangeListener] = []
        self.position = 0
        """Views and checkpoint are committed up to here."""
        self.stopped: str | None = None
        """Why the projection stopped; None while it runs."""
        self.stopped_at = 0
        """Position of the event that it could not process."""

    def advance(self, position: int, changed: frozenset[str] | None) -> None:
        """Makes a commit known; with None for keys that nobody here knows."""
        self.position = position
        if self._waiters:
            self._wake([reply for reply, wanted in self._waiters.items() if wanted <= position])
        if changed != frozenset():
            for listener in list(self._listeners):
                listener(self.name, changed)

    def stop(self, position: int, reason: str) -> None:
        """Makes known that the projection stopped before the event at `position`; tells everybody who waits."""
        self.stopped = reason
        self.stopped_at = position
        self._wake(list(self._waiters))
        for listener in list(self._listeners):
            listener(self.name, None)

    def follow(self, position: int) -> None:
        """Takes the position that the view store has, whoever brought the views there."""
        if position > self.position:
            self.advance(position, None)
        self.position = position
        if position >= self.stopped_at:
            # Whoever got past the event runs other code than this process.
            self.stopped = None

    def check(self, position: int) -> None:
        """Raises `ProjectionStopped` where `position` will never be committed."""
        if self.stopped is not None and self.position < position:
            raise self.halted(position)

    async def wait(self, position: int, deadline: float = math.inf) -> None:
        """Returns when `position` is committed; raises `ProjectionStopped` or `ProjectionTimeout`."""
        await wait_for_all([self], position, deadline)

    def halted(self, position: int) -> ProjectionStopped:
        """The error for who waits for `position` of a projection that stopped before it."""
        assert self.stopped is not None, "only a projection that stopped has a reason"
        return ProjectionStopped(
            f"projection {self.name!r} stopped at position {self.stopped_at}: {self.stopped}. What was sent is "
            f"recorded, but nothing after position {self.position} is in its views; mend the cause and restart",
            projection=self.name,
            position=position,
            reason=self.stopped,
        )

    def late(self, position: int) -> ProjectionTimeout:
        """The error for who waited for `position` in vain."""
        return ProjectionTimeout(
            f"projection {self.name!r} is at position {self.position} and had not reached {position} in time. "
            "What was sent is recorded and will be projected; ask again later, or without `after`",
            projection=self.name,
            position=position,
            at=self.position,
        )

    def add_waiter(self, position: int, reply: Reply) -> None:
        """Sets `reply`, which others may set as well, when `position` is committed or the projection stops."""
        self._waiters[reply] = position

    def remove_waiter(self, reply: Reply) -> None:
        self._waiters.pop(reply, None)

    def _wake(self, replies: Sequence[Reply]) -> None:
        for reply in replies:
            del self._waiters[reply]
            if not reply.is_done:
                reply.set_result(None)

    def listen(self, listener: ChangeListener) -> None:
        self._listeners.append(listener)

    def unlisten(self, listener: ChangeListener) -> None:
        self._listeners.remove(listener)


async def wait_for_all(progresses: Sequence[Progress], position: int, deadline: float = math.inf) -> None:
    """Returns when all have committed `position`; raises as soon as one of them never will.

    That is `ProjectionStopped`, or `ProjectionTimeout` at the deadline.
    """
    while behind := [one for one in progresses if one.position < position]:
        await wait_for_any(behind, position, deadline)


async def wait_for_any(behind: Sequence[Progress], position: int, deadline: float = math.inf) -> None:
    """Returns when one of these has committed `position`; raises as `wait_for_all` does."""
    expired = False
    while all(one.position < position for one in behind):
        for one in behind:
            one.check(position)
        if expired:
            raise behind[0].late(position)
        # One reply for all: whoever comes first, or stops first, wakes the waiter, who looks at all of them again.
        reply = behind[0].new_reply()
        for one in behind:
            one.add_waiter(position, reply)
        with anyio.CancelScope(deadline=deadline) as scope:
            try:
                await reply
            finally:
                for one in behind:
                    one.remove_waiter(reply)
        expired = scope.cancelled_caught
