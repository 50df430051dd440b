"""Staleness: many ask, kept answers and new ones, and watch, while an account only grows; nobody may see it shrink."""

from contextlib import aclosing
from random import Random

import anyio

from bus import Application, Bus, Query, Receipt, Views, cached
from tests.support.ledger import ACCOUNT, BALANCES, JOURNAL, NOTE, Balance, Deposit, GetBalance, get_balance


class Kept(Query[Balance | None]):
    """As `GetBalance`, and its answers are kept."""

    account: str


class Richest(Query[list[Balance]]):
    """Kept too, and found."""


async def kept(query: Kept, views: Views) -> Balance | None:
    return await views.get(Balance, query.account)


async def richest(query: Richest, views: Views) -> list[Balance]:
    return await views.find(Balance, order_by="-balance", limit=1)


GROWING = Application(
    deciders=[ACCOUNT, NOTE],
    projections=[BALANCES, JOURNAL],
    query_handlers=[cached(kept), cached(richest), get_balance],
)


class Growing:
    """One account, and the most that anybody has seen of it so far."""

    def __init__(self, *buses: Bus) -> None:
        self._buses = buses
        self._seen = 0
        self._receipt: Receipt | None = None
        self._is_over = False
        self.asked = 0

    async def run(self, deposits: int) -> None:
        """Grows by so many deposits while everybody looks; raises `AssertionError` for an answer that is too old."""
        async with anyio.create_task_group() as tasks:
            for number in range(12):
                tasks.start_soon(self._ask, self._buses[number % len(self._buses)], Random(number))
            for number in range(4):
                tasks.start_soon(self._watch, self._buses[number % len(self._buses)], Random(number))
            for number in range(deposits):
                self._receipt = await self._buses[number % len(self._buses)].send(Deposit("a", 1))
                if number % 5 == 0:
                    await anyio.sleep(0.005)
            self._is_over = True
            tasks.cancel_scope.cancel()

    def _see(self, found: Balance | None, least: int, how: str) -> None:
        balance = 0 if found is None else found.balance
        assert balance >= least, f"{how} shows {balance}, after {least} had been seen"
        self._seen = max(self._seen, balance)
        self.asked += 1

    async def _ask(self, bus: Bus, chance: Random) -> None:
        while not self._is_over:
            after = self._receipt if chance.random() < 0.2 else None
            least = max(self._seen, 0 if after is None else after.position)
            drawn = chance.random()
            if drawn < 0.5:
                self._see(await bus.query(Kept("a"), after=after), least, "a kept answer")
            elif drawn < 0.8:
                found = await bus.query(Richest(), after=after)
                self._see(found[0] if found else None, least, "a kept answer that was found")
                found.clear()
            else:
                self._see(await bus.query(GetBalance("a"), after=after), least, "a new answer")
            await anyio.sleep(chance.choice([0, 0, 0.001, 0.003]))

    async def _watch(self, bus: Bus, chance: Random) -> None:
        while not self._is_over:
            least = self._seen
            async with aclosing(bus.watch(Richest())) as answers:
                async for answer in answers:
                    self._see(answer.value[0] if answer.value else None, least, "a watch")
                    # It tells of changes a little later, but never goes back.
                    least = answer.value[0].balance if answer.value else 0
                    if chance.random() < 0.3:
                        break
