"""Following: what the store tells reaches who is to hear it; what breaks off is begun again."""

from collections.abc import Callable, Sequence

import anyio

from bus import Bus, Limits, MemoryEventStore
from bus.ports import Waking
from bus.read.following import Following
from tests.support.ledger import LEDGER, Deposit, GetBalance


class Teller(MemoryEventStore):
    """A shared store that tells what the script says, one step for each call of `follow`; then it ends."""

    def __init__(self, *script: Sequence[int] | Exception) -> None:
        super().__init__(shared=True)
        self._script = list(script)
        self.calls = 0

    async def follow(self, heard: Callable[[int], None]) -> None:
        self.calls += 1
        step = self._script.pop(0)
        if isinstance(step, Exception):
            raise step
        for position in step:
            heard(position)


def _limits() -> Limits:
    return Limits(restart_backoff_s=0.001, restart_backoff_max_s=0.001)


async def test_what_is_heard_is_told_as_it_comes() -> None:
    heard: list[int] = []
    store = Teller([3, 5, 4])
    await Following(store, heard.append, _limits()).run()
    assert heard == [3, 5, 4]
    assert store.calls == 1


async def test_after_a_failure_it_listens_again() -> None:
    heard: list[int] = []
    store = Teller(ConnectionError("lost"), [1], ConnectionError("lost"), ConnectionError("lost"), [2])
    following = Following(store, heard.append, _limits())
    await following.run()
    await following.run()
    assert (store.calls, heard) == (5, [1, 2])


def test_a_store_that_tells_nothing_is_none_that_wakes() -> None:
    assert isinstance(Teller(), Waking)
    assert not isinstance(MemoryEventStore(shared=True), Waking)


async def test_a_bus_follows_its_store() -> None:
    class Shared(MemoryEventStore):
        """Tells the buses that have it open of each other's appends."""

        def __init__(self) -> None:
            super().__init__(shared=True)
            self.news = anyio.Event()

        async def follow(self, heard: Callable[[int], None]) -> None:
            while True:
                await self.news.wait()
                heard(await self.head())
                await anyio.sleep(0.001)

    store = Shared()
    rarely = Limits(poll_interval_s=3600)
    async with (
        Bus(LEDGER, event_store=store, limits=rarely) as writer,
        Bus(LEDGER, event_store=store, limits=rarely) as reader,
    ):
        receipt = await writer.send(Deposit("a", 1))
        store.news.set()
        assert await reader.query(GetBalance("a"), after=receipt, timeout=30) is not None
