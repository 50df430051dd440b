"""Programs that tests run in processes of their own, in order to stop them."""

import asyncio
import sys

from adapters.postgres import PostgresEventStore
from tests.contracts.entries import NOON, entry


async def append_for_ever(url: str, name: str) -> None:
    """Appends to streams of its own, many rows at a time, and says so once the first are there."""
    async with PostgresEventStore(url) as store:
        version = 0
        while True:
            batch = [entry(f"{name}-{number}", version, f"{name} {version} {number}") for number in range(50)]
            assert not (await store.append(batch, NOON)).refused
            version += 1
            if version == 1:
                print("appending", flush=True)


if __name__ == "__main__":
    asyncio.run(append_for_ever(sys.argv[1], sys.argv[2]))
