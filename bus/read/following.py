"""Following: hears from the store of what other processes append, so that nobody waits for the next poll."""

import anyio

from bus.core.limits import Limits
from bus.ports import Waking
from bus.runtime.feed import Feed
from bus.runtime.log import log, told
from bus.runtime.supervisor import backoff_s


class Following:
    """Keeps listening for as long as the bus is open."""

    def __init__(self, store: Waking, feed: Feed, limits: Limits) -> None:
        self._store = store
        self._feed = feed
        self._limits = limits
        self._failures = 0

    async def run(self) -> None:
        """Returns when the store has nothing to tell."""
        while True:
            try:
                await self._store.follow(self._heard)
                return
            except Exception as error:
                self._failures += 1
                # Nothing is lost but time: subscriptions poll as well.
                log.warning("news from other processes are interrupted", attempt=self._failures, error=told(error))
            limits = self._limits
            await anyio.sleep(backoff_s(limits.restart_backoff_s, limits.restart_backoff_max_s, self._failures))

    def _heard(self, position: int) -> None:
        self._failures = 0
        # What this process has appended itself is known, and wakes nobody again.
        if position > self._feed.head:
            self._feed.advance(position)
