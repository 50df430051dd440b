"""Dispatcher: one task that runs every actor with mail, in turns."""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

import anyio.lowlevel

from bus.runtime.reply import Reply, Signal


class Actor(Protocol):
    """A mailbox that the dispatcher runs; it is no task of its own."""

    mail: list[Any] | None
    """Messages in the order sent; None while there are none, so that an idle actor costs no list."""


A = TypeVar("A", bound=Actor)


class Dispatcher(Generic[A]):
    """Collects the actors that have mail and hands them to `turn`, all that are ready at a time.

    While a turn awaits its commit, senders go on filling mailboxes, which makes the next turn's batch: the slower the
    store, the larger its transactions.
    """

    def __init__(self, turn: Callable[[list[A]], Awaitable[None]], new_reply: Callable[[], Reply]) -> None:
        self._turn = turn
        self._signal = Signal(new_reply)
        self.ready: list[A] = []
        self.turns = 0

    def wake(self, actor: A) -> None:
        """Lets an actor take part in the next turn; called when its mailbox gets its first message."""
        ready = self.ready
        ready.append(actor)
        if len(ready) == 1:
            self._signal.set()

    async def run(self) -> None:
        """Turns for ever; `turn` gives back, by `wake`, the actors that it could not finish."""
        while True:
            if not self.ready:
                await self._signal.wait()
                continue
            actors, self.ready = self.ready, []
            self.turns += 1
            await self._turn(actors)
            if self.ready:
                # A store that answers at once must not keep the event loop from everybody else.
                await anyio.lowlevel.checkpoint()
