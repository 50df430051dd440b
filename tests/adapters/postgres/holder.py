"""A process that projects, and stops itself between fold and commit; run as a program."""

import json
import os
import signal
import sys

import anyio
import anyio.to_thread

from adapters.postgres import PostgresEventStore, PostgresViewStore
from bus import Bus, Limits
from bus.core.stored import ViewChanges, ViewTable
from tests.support.ledger import LEDGER, GetBalance, GetJournal

LIMITS = Limits(lease_s=1, poll_interval_s=0.05)


class StoppingViewStore(PostgresViewStore):
    """Before its first commit the whole process is stopped, as by `kill -STOP`."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._was_stopped = False
        self.outcomes: list[tuple[str, int, bool]] = []
        """Of each commit the projection, the position, and whether it was written."""
        self.has_outcome = anyio.Event()

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        if not self._was_stopped:
            self._was_stopped = True
            os.kill(os.getpid(), signal.SIGSTOP)
        # The bus gives a commit up that is of no use any more; here it is sent, to see what becomes of it.
        with anyio.CancelScope(shield=True):
            written = await super().commit(table, changes)
            self.outcomes.append((table.projection, changes.checkpoint.position, written))
            self.has_outcome.set()
        return written


async def main(url: str) -> None:
    """Says when it holds its leases; then, for each position given, what it answers not before it, and what it did."""
    views = StoppingViewStore(url)
    async with Bus(LEDGER, event_store=PostgresEventStore(url), view_store=views, limits=LIMITS) as bus:
        print(json.dumps([one.name for one in bus.statistics().projections if one.is_here]), flush=True)
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            balance = await bus.query(GetBalance("a"), after=int(line))
            journal = await bus.query(GetJournal(), after=int(line))
            # Others bring the views forward while the commit that was stopped is still on its way.
            await views.has_outcome.wait()
            told = {
                "balance": balance and balance.positions,
                "journal": journal and [position for position, *_ in journal.entries],
                "here": [one.name for one in bus.statistics().projections if one.is_here],
                "outcomes": views.outcomes,
                "restarts": bus.statistics().restarts,
            }
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
