"""A process that hands batches over, and stops itself in the middle of a transaction; run as a program."""

import json
import os
import signal
import sys
from collections.abc import Sequence

import anyio
import anyio.to_thread

from adapters.postgres import PostgresEventStore, PostgresViewStore
from bus import Bus, Limits, Recorded, Transaction
from tests.adapters.postgres.databases import fetched
from tests.support.lines import GetLines, LineEvent, Reads, bookkeeping, handle, lines

LIMITS = Limits(lease_s=1, poll_interval_s=0.05, batch_timeout_s=1)


def reads(url: str) -> Reads:
    """By a connection for each answer."""

    async def fetch(query: str) -> list[tuple[int, str, int]]:
        return [(position, stream, amount) for position, stream, amount in await fetched(url, query)]

    return Reads(fetch)


async def main(url: str) -> None:
    """Says when it holds its leases; then, for each position given, what it answers not before it."""
    stops = [1]

    async def stopping(batch: Sequence[Recorded[LineEvent]], transaction: Transaction) -> None:
        await handle(batch, transaction)
        if stops:
            await transaction.execute("LOCK TABLE lines")
            stops.clear()
            os.kill(os.getpid(), signal.SIGSTOP)

    application = bookkeeping(reads(url), lines(stopping))
    views = PostgresViewStore(url)
    async with Bus(application, event_store=PostgresEventStore(url), view_store=views, limits=LIMITS) as bus:
        print(json.dumps([one.name for one in bus.statistics().projections if one.is_here]), flush=True)
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            found = await bus.query(GetLines(), after=int(line))
            here = [one.name for one in bus.statistics().projections if one.is_here]
            print(json.dumps({"lines": found, "here": here}), flush=True)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
