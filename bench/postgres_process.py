"""One of the processes of `commands.postgres.4processes`: sends its share, to accounts that no other one touches.

Says "ready", waits for a line, and then says how many of its commands were decided again after a conflict.
"""

import asyncio
import sys

from adapters.postgres import PostgresEventStore
from bench.commands import BANK
from bench.limits import deposits, drive
from bench.measure import frozen_heap
from bus import Bus


async def send(url: str, number: int, processes: int, clients: int, count: int) -> None:
    """The commands to the accounts whose number leaves that rest."""
    own = [command for command in deposits(count) if int(command.account_id) % processes == number]
    async with Bus(BANK, event_store=PostgresEventStore(url)) as bus:
        with frozen_heap():
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            await drive(bus.send, own, clients)
        # Every command is appended once, unless another process was in between.
        statistics = bus.statistics()
        print(statistics.commands - len(own), flush=True)


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1], *[int(argument) for argument in sys.argv[2:]]))
