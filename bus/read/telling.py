"""Telling: notes in the view store how the projections of this process stand, for those who look from outside."""

from collections.abc import Mapping

import anyio
import msgspec

from bus.core.builds import Standing
from bus.core.stored import ViewTable
from bus.read.lag import standing_of
from bus.read.lineage import Lineage
from bus.read.projector import Projector
from bus.read.services import Services
from bus.runtime.log import log, told
from bus.runtime.signal import Signal


class Telling:
    """Tells what has changed since it was told last, at an interval, and at once where a projection stops."""

    def __init__(self, services: Services, lineages: Mapping[str, Lineage], owner: str) -> None:
        self._services = services
        self._store = services.view_store
        self._interval_s = services.limits.standing_interval_s
        self._lineages = lineages
        self._owner = owner
        self._signal = Signal(services.new_reply)
        self._told: dict[ViewTable, Standing] = {}
        """What the store has of this opening of the bus."""

    def look_again(self) -> None:
        """Does not wait for the next look: something has changed that people want to know at once."""
        self._signal.set()

    async def run(self) -> None:
        """Looks again and again, for as long as the bus is open."""
        while True:
            await self._signal.wait(anyio.current_time() + self._interval_s)
            await self.look()

    async def look(self) -> None:
        """Tells what is new. Never raises: a projection does not depend on whether anybody hears of it."""
        ours: set[ViewTable] = set()
        for lineage in self._lineages.values():
            for place, projector in list(lineage.projectors.items()):
                if _is_ours(projector):
                    ours.add(projector.table)
                    standing = standing_of(self._services, projector, lineage.builds.get(place), self._owner)
                    await self._tell(projector, standing)
        # Of the rest others have told something else meanwhile.
        self._told = {table: standing for table, standing in self._told.items() if table in ours}

    async def leave(self) -> None:
        """Tells that this bus is closed, of what it has told before; never raises."""
        for lineage in self._lineages.values():
            for projector in lineage.projectors.values():
                last = self._told.get(projector.table)
                if last is not None and _is_ours(projector):
                    now = self._services.clock.now()
                    gone = msgspec.structs.replace(last, told_at=now, owner="", events_per_s=0.0, batch_events=0.0)
                    await self._tell(projector, gone)

    async def _tell(self, projector: Projector, standing: Standing) -> None:
        last = self._told.get(projector.table)
        if last is not None and msgspec.structs.replace(last, told_at=standing.told_at) == standing:
            return
        try:
            await self._store.tell(projector.table, standing)
        except Exception as error:
            # Its next commit fails as well, and says more.
            log.debug("what is to be known of a projection is not told", store=self._store.url, error=told(error))
            return
        self._told[projector.table] = standing


def _is_ours(projector: Projector) -> bool:
    """Whether this process has the last word on a projection: it runs here, or has stopped here."""
    return projector.is_here or (projector.has_begun and projector.progress.stopped is not None)
