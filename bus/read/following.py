"""Following: hears from a store of what other processes commit, so that nobody waits for the next poll."""

from collections.abc import Callable

import anyio

from bus.core.limits import Limits
from bus.ports import Waking
from bus.runtime.log import log, told
from bus.runtime.supervisor import backoff_s


class Following:
    """Keeps listening for as long as the bus is open; calls `heard` with what the store tells."""

    def __init__(self, store: Waking, heard: Callable[[int], None], limits: Limits) -> None:
        self._store = store
        self._tell = heard
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
                # Nothing is lost but time: whoever is told polls as well.
                log.warning("news from other processes are interrupted", attempt=self._failures, error=told(error))
            limits = self._limits
            await anyio.sleep(backoff_s(limits.restart_backoff_s, limits.restart_backoff_max_s, self._failures))

    def _heard(self, number: int) -> None:
        self._failures = 0
        self._tell(number)
