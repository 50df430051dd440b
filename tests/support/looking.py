"""A query whose answers are kept, and those who ask it."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from bus import Application, Bus, BusError, Query, Views, cached
from tests.support.ledger import ACCOUNT, BALANCES, JOURNAL, NOTE, Balance, Deposit, get_balance


class Look(Query[Any]):
    """Answered by whatever function the test gives; the answers are kept."""

    account: str = "a"
    more: Any = None


async def balance(query: Look, views: Views) -> Balance | None:
    return await views.get(Balance, query.account)


async def richest(query: Look, views: Views) -> list[Balance]:
    return await views.find(Balance, order_by="-balance")


class Desk:
    """Counts the runs of a handler, each of which passes a gate before and after it."""

    def __init__(self, answer: Callable[[Look, Views], Awaitable[Any]] = balance) -> None:
        self._answer = answer
        self.runs = 0
        self.before = self.after = open_gate()

    async def look(self, query: Look, views: Views) -> Any:
        self.runs += 1
        # Others may be told to wait elsewhere meanwhile.
        before, after = self.before, self.after
        await before.wait()
        value = await self._answer(query, views)
        await after.wait()
        return value

    def application(self, projection: Any = BALANCES, answers_max: int = 1_000) -> Application:
        return Application(
            deciders=[ACCOUNT, NOTE],
            projections=[projection, JOURNAL],
            query_handlers=[cached(self.look, answers_max=answers_max), get_balance],
        )


def open_gate() -> anyio.Event:
    gate = anyio.Event()
    gate.set()
    return gate


class Asking:
    """Asks in a task of its own."""

    def __init__(self, bus: Bus, query: Query[Any], **options: Any) -> None:
        self._bus, self._query, self._options = bus, query, options
        self.scope = anyio.CancelScope()
        self.got: list[Any] = []

    async def run(self) -> None:
        with self.scope:
            try:
                self.got.append(await self._bus.query(self._query, **self._options))
            except BusError as error:
                self.got.append(error)


async def deposit(bus: Bus, account: str = "a", amount: int = 1) -> None:
    await bus.wait_projected(await bus.send(Deposit(account, amount)))


def kept(bus: Bus) -> list[Any]:
    return [one for one in bus._opened().read.answers._keeping._questions.values() if one.kept is not None]
