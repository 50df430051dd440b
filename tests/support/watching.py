"""Who watches: readers of answers in tasks of their own, and a handler whose runs are counted."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

import anyio

from bus import Answer, Application, Bus, Views
from bus.read.watching import Watcher
from tests.support.ledger import ACCOUNT, BALANCES, JOURNAL, NOTE, Balance, GetBalance

TRACE: ContextVar[str] = ContextVar("trace", default="none")


class Watched:
    """Reads a watch in a task of its own and keeps the answers."""

    def __init__(self, answers: AsyncGenerator[Answer[Any]]) -> None:
        self._answers = answers
        self.got: list[Answer[Any]] = []
        self.error: BaseException | None = None

    async def run(self) -> None:
        try:
            async with aclosing(self._answers) as answers:
                async for answer in answers:
                    self.got.append(answer)
        except Exception as error:
            self.error = error

    @property
    def values(self) -> list[Any]:
        return [answer.value for answer in self.got]


def listeners(bus: Bus) -> int:
    """Those of watches, and whatever else is left of them."""
    read = bus._opened().read
    told = bus.statistics()
    heard = [one for progress in read.progress.values() for one in progress._listeners]
    mine = [one for one in heard if isinstance(getattr(one, "__self__", None), Watcher)]
    return len(mine) + told.watchers + told.watched + len(read.answers._keeping._questions)


async def quiet() -> None:
    """Lets everything happen that is due, the pauses between answers included."""
    await anyio.sleep(10)


class Counted:
    """A handler whose runs are counted, and pass a gate after they have read."""

    def __init__(self) -> None:
        self.runs = 0
        self.gate = anyio.Event()
        self.gate.set()
        self.contexts: set[str] = set()

    async def get(self, query: GetBalance, views: Views) -> Balance | None:
        self.runs += 1
        self.contexts.add(TRACE.get())
        gate = self.gate
        found = await views.get(Balance, query.account)
        await gate.wait()
        return found

    def hold(self) -> None:
        self.gate = anyio.Event()

    @property
    def application(self) -> Application:
        return Application(deciders=[ACCOUNT, NOTE], projections=[BALANCES, JOURNAL], query_handlers=[self.get])
