"""Watching: a query answered again each time the views it read have changed."""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, TypeVar

import anyio

from bus.core.letters import After
from bus.core.limits import Limits
from bus.core.messages import Answer, Query
from bus.ports import Clock
from bus.read.progress import Progress
from bus.read.queries import Queries, Reads
from bus.runtime.reply import Reply, Signal

R = TypeVar("R")


class Watcher:
    """Collects changes, also those that happen while the answer is being read."""

    def __init__(self, new_reply: Callable[[], Reply]) -> None:
        self._signal = Signal(new_reply)
        self._changed: dict[str, frozenset[str] | None] = {}
        self._reads: Reads | None = None
        """What the last answer was read from; None while one is being read."""
        self.is_due = False
        """Whether something happened that the last answer does not show."""

    def note(self, projection: str, keys: frozenset[str] | None) -> None:
        """A projection committed changes of these keys, or of unknown ones, or stopped."""
        if self._reads is None:
            noted = self._changed.get(projection, frozenset())
            self._changed[projection] = None if noted is None or keys is None else noted | keys
        elif _concerns(self._reads, projection, keys):
            self._ask_again()

    def begin(self) -> None:
        """From now on an answer is being read, and every change may concern it."""
        self.is_due = False
        self._reads = None
        self._changed = {}

    def end(self, reads: Reads) -> None:
        """The answer was read from these views."""
        self._reads = reads
        if any(_concerns(reads, projection, keys) for projection, keys in self._changed.items()):
            self._ask_again()

    async def changed(self) -> None:
        while not self.is_due:
            await self._signal.wait()

    def _ask_again(self) -> None:
        self.is_due = True
        self._signal.set()


def _concerns(reads: Reads, projection: str, keys: frozenset[str] | None) -> bool:
    if projection not in reads.keys:
        return False
    read = reads.keys[projection]
    return read is None or keys is None or not read.isdisjoint(keys)


async def watch(
    query: Query[R],
    queries: Queries,
    progress: Mapping[str, Progress],
    *,
    new_reply: Callable[[], Reply],
    clock: Clock,
    limits: Limits,
) -> AsyncGenerator[Answer[R]]:
    """The answer now, and again after changes; changes in quick succession give one answer.

    Raises `ProjectionStopped` after the last answer where a projection that it was read from has stopped.
    """
    watcher = Watcher(new_reply)
    for one in progress.values():
        one.listen(watcher.note)
    try:
        last: Any = watcher
        while True:
            started = clock.monotonic()
            watcher.begin()
            value, reads = await queries.ask_and_tell(query, After(0, 1), None)
            watcher.end(reads)
            if last is watcher or value != last:
                last = value
                yield Answer(value, reads.position)
            if not watcher.is_due:
                for one in [progress[name] for name in reads.keys]:
                    one.check(one.position + 1)
            await watcher.changed()
            await anyio.sleep(max(0.0, started + limits.watch_interval_s - clock.monotonic()))
    finally:
        for one in progress.values():
            one.unlisten(watcher.note)
