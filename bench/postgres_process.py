"""One of the processes of `commands.postgres.4processes`: sends its share, to accounts that no other one touches.

Opens these accounts, as the one process does that it is held against, says "ready", waits for a line, and then says how
many of its commands were decided again after a conflict.
"""

import asyncio
import sys
from collections.abc import Sequence

from adapters.postgres import PostgresEventStore
from bench.commands import BANK
from bench.limits import AccountCommand, deposits, drive, openings
from bench.measure import frozen_heap
from bus import Bus


async def send(url: str, number: int, processes: int, clients: int, count: int) -> None:
    """The commands to the accounts whose number leaves that rest."""

    def share(commands: Sequence[AccountCommand]) -> list[AccountCommand]:
        return [command for command in commands if int(command.account_id) % processes == number]

    first, own = share(openings()), share(deposits(count))
    async with Bus(BANK, event_store=PostgresEventStore(url)) as bus:
        await drive(bus.send, first, clients)
        with frozen_heap():
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            await drive(bus.send, own, clients)
        # Every command is appended once, unless another process was in between.
        statistics = bus.statistics()
        print(statistics.commands - len(first) - len(own), flush=True)


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1], *[int(argument) for argument in sys.argv[2:]]))
