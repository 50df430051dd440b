"""Leases: settles with other processes which of them projects what, and follows the views that others bring forward."""

import math
from collections.abc import Callable, Mapping

import anyio
import msgspec

from bus.core.stored import Checkpoint, Claim, ViewTable
from bus.read.projector import Projector
from bus.read.services import Services
from bus.runtime.log import log, told
from bus.runtime.signal import Signal
from bus.runtime.supervisor import backoff_s


class Leases:
    """Takes the leases that are free, renews its own, and tells each projector where it stands.

    The view store arbitrates, by its own clock: a process that was paused for longer than its leases last finds them
    taken, at the latest when it commits. `owner` names one opening of one bus.
    """

    def __init__(self, services: Services, owner: str) -> None:
        self._store = services.view_store
        self._projectors: dict[ViewTable, Projector] = {}
        self._owner = owner
        self._limits = services.limits
        self.on_drop: Callable[[], None] = lambda: None
        """Called when a table was found to be no longer there."""
        self._signal = Signal(services.new_reply)
        self._held: set[ViewTable] = set()
        """What the store has said last."""
        self._renew_at = -math.inf
        """When the leases that are here are to be renewed, on the loop's clock."""
        self._failures = 0
        self._looks = 0
        self._noted: dict[ViewTable, int] = {}
        """Of each table, the number of the look whose answer was taken in last: looks may overtake each other."""

    def add(self, projector: Projector) -> None:
        """Takes care of its table from the next look on."""
        self._projectors[projector.table] = projector
        projector.on_leave = self.look_again

    def remove(self, projector: Projector) -> None:
        """Forgets a table that is no longer there."""
        projector.on_leave = lambda: None
        self._projectors.pop(projector.table, None)
        self._held.discard(projector.table)
        self._noted.pop(projector.table, None)

    def look_again(self) -> None:
        """Does not wait for the next look: something has changed."""
        self._signal.set()

    async def run(self) -> None:
        """Looks again and again, for as long as the bus is open."""
        while True:
            await self._signal.wait(anyio.current_time() + self._pause_s())
            try:
                # What is answered later than that says nothing any more, and another connection may do better.
                with anyio.fail_after(self._limits.lease_s):
                    await self.look()
                self._failures = 0
            except Exception as error:
                self._failures += 1
                # Its projectors fail as well, and say more.
                log.warning(
                    "leases cannot be renewed", store=self._store.url, attempt=self._failures, error=told(error)
                )

    async def look(self) -> None:
        """Claims what this process could project, and makes known what the store answers."""
        self._looks += 1
        look = self._looks
        halted = {table: one for table, one in self._projectors.items() if one.progress.stopped is not None}
        if useless := [table for table in halted if table in self._held]:
            # Another process may run other code, or have better luck.
            await self._store.release(useless, self._owner)
            self._held.difference_update(useless)
        now = anyio.current_time()
        is_due = now >= self._renew_at
        # Its own leases are renewed in time, and not at each piece of news: a renewal is a durable write.
        wanted = [table for table in self._projectors if table not in halted and (is_due or not self._has(table))]
        if wanted:
            known = {table: self._projectors[table].progress.position for table in wanted}
            claims = await self._store.claim(wanted, self._owner, self._limits.lease_s)
            # What a look that began later has found is not undone.
            news = {table: position for table, position in known.items() if self._noted.get(table, 0) < look}
            self._noted.update(dict.fromkeys(news, look))
            self._note(news, claims)
        if is_due:
            # Twice may go wrong before a lease lapses.
            self._renew_at = now + self._limits.lease_s / 3
        if halted:
            known = {table: projector.progress.position for table, projector in halted.items()}
            held = {one.table.place: one.checkpoint for one in await self._store.builds()}
            for table, projector in halted.items():
                if table.place in held:
                    projector.follow(_newest(projector, held[table.place], known[table]))
            if any(one.progress.stopped is None for one in halted.values()):
                self.look_again()

    async def release(self) -> None:
        """Gives everything up, so that others need not wait until it lapses; also what a claim has got unheard."""
        if self._projectors and self._store.shared:
            await self._store.release(list(self._projectors), self._owner)

    def _has(self, table: ViewTable) -> bool:
        """Whether the lease is here, as far as both the store has said and the projector knows."""
        return table in self._held and self._projectors[table].is_here

    def _note(self, known: Mapping[ViewTable, int], claims: Mapping[ViewTable, Claim]) -> None:
        """`known` are the positions that were known when the store was asked."""
        for table, position in known.items():
            projector, claim = self._projectors.get(table), claims.get(table)
            if projector is None:
                # Removed while the store was asked.
                continue
            if claim is None:
                self._held.discard(table)
                self.on_drop()
            elif claim.owner == self._owner:
                self._held.add(table)
                projector.hold(claim)
            else:
                self._held.discard(table)
                if projector.is_here:
                    # Its commits have not found out before.
                    log.warning("projection goes on in another process", projection=table.projection)
                projector.follow(_newest(projector, claim.checkpoint, position))

    def _pause_s(self) -> float:
        limits = self._limits
        if self._failures:
            return backoff_s(limits.projection_backoff_s, limits.projection_backoff_max_s, self._failures)
        # What others hold is looked at more often, since the views that they bring forward are waited for here, and
        # news of them may be missed.
        renewal_s = max(0.0, self._renew_at - anyio.current_time())
        return renewal_s if len(self._held) == len(self._projectors) else min(renewal_s, limits.poll_interval_s)


def _newest(projector: Projector, checkpoint: Checkpoint, known: int) -> Checkpoint:
    """The checkpoint, unless somebody has learned of a later one while the store was asked for it.

    One before what was `known` is where the views are: the store has lost what it had.
    """
    position = projector.progress.position
    if known <= checkpoint.position < position:
        return msgspec.structs.replace(checkpoint, position=position)
    return checkpoint
