"""Progress: how far one projection has come, and who waits for it."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import anyio

from bus.core.errors import ProjectionStopped, ProjectionTimeout
from bus.core.projection import Projection
from bus.runtime.reply import Reply

ChangeListener = Callable[[str, frozenset[str] | None], None]
"""Called with a projection's name and the keys of the views that a commit changed, or is about to change.

None stands for any: another process committed them, or the projection stopped.
"""

Keys = frozenset[str] | None
"""Keys of views; None stands for any."""


class Progress:
    """The committed position of one projection; waiters are woken by the commit, never by a poll."""

    def __init__(self, projection: Projection[Any, Any], new_reply: Callable[[], Reply]) -> None:
        self.name = projection.name
        self.new_reply = new_reply
        self._waiters: dict[Reply, int] = {}
        """The positions that are waited for. A dictionary, since many may wait and each leaves by itself."""
        self._listeners: list[ChangeListener] = []
        self._doubters: list[ChangeListener] = []
        self.begun: Keys = frozenset()
        """Keys of views that a commit may have changed of which nothing is known yet."""
        self.position = 0
        """Views and checkpoint are committed up to here."""
        self.stopped: str | None = None
        """Why the projection stopped; None while it runs."""
        self.stopped_at = 0
        """Position of the event that it could not process."""
        self.public: Progress | None = None
        """Where those look who ask for what answers, while that is this one."""

    def begin(self, keys: Keys) -> None:
        """A commit of views of these keys begins: from now on who reads them may find them changed, or not.

        Holds until `advance`, since a commit that failed may yet have happened.
        """
        if keys == frozenset():
            return
        self.begun = together(self.begun, keys)
        for doubter in list(self._doubters):
            doubter(self.name, keys)
        if self.public is not None:
            self.public.begin(keys)

    def advance(self, position: int, changed: Keys) -> None:
        """Makes a commit known of which `begin` has told; with None for keys that nobody here knows."""
        told = self.begun is None or (changed is not None and changed <= self.begun)
        assert told, "who changes views says so before, by `begin`, since others may see them before it is known"
        # With those of earlier commits of which nobody knew what became of them.
        changed = self.begun
        self._change(position, changed)
        if self.public is not None:
            self.public.advance(position, changed)

    def _change(self, position: int, changed: Keys) -> None:
        self.begun = frozenset()
        self.position = position
        if self._waiters:
            self._wake([reply for reply, wanted in self._waiters.items() if wanted <= position])
        if changed != frozenset():
            self._tell(changed)

    def stop(self, position: int, reason: str) -> None:
        """Makes known that the projection stopped before the event at `position`; tells everybody who waits."""
        self.stopped = reason
        self.stopped_at = position
        # Whoever has written to its views, and goes on doing so, does not tell of it here.
        self.begun = None
        self._wake(list(self._waiters))
        self._tell(None)
        if self.public is not None:
            self.public.stop(position, reason)

    def show(self, public: "Progress") -> None:
        """From now on `public` tells what this one does; all that it told of before may be another's."""
        self.public = public
        public.begin(None)
        public._change(self.position, None)
        public.begun, public.stopped, public.stopped_at = self.begun, self.stopped, self.stopped_at
        if self.stopped is not None:
            public._wake(list(public._waiters))

    def follow(self, position: int) -> None:
        """Takes the position that the view store has, whoever brought the views there."""
        if position > self.position:
            self._change(position, None)
        self.position = position
        if position >= self.stopped_at:
            # Whoever got past the event runs other code than this process.
            self.stopped = None
        if self.public is not None:
            self.public.follow(position)

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

    def _tell(self, changed: frozenset[str] | None) -> None:
        for listener in list(self._listeners):
            listener(self.name, changed)

    def _wake(self, replies: Sequence[Reply]) -> None:
        for reply in replies:
            del self._waiters[reply]
            if not reply.is_done:
                reply.set_result(None)

    def listen(self, listener: ChangeListener) -> None:
        """`listener` is told of changes once they are committed."""
        self._listeners.append(listener)

    def unlisten(self, listener: ChangeListener) -> None:
        self._listeners.remove(listener)

    def doubt(self, doubter: ChangeListener) -> None:
        """`doubter` is told of changes before they are committed."""
        self._doubters.append(doubter)


def together(one: Keys, other: Keys) -> Keys:
    """The keys of both."""
    return None if one is None or other is None else one | other


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
