"""Dispatcher: runs every actor with mail, in turns: one at a time, or some beside each other."""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

import anyio
import anyio.lowlevel

from bus.runtime.reply import Reply
from bus.runtime.signal import Signal


class Actor(Protocol):
    """A mailbox that the dispatcher runs; it is no task of its own."""

    mail: list[Any] | None
    """Messages in the order sent; None while there are none, so that an idle actor costs no list."""
    busy: bool
    """Whether a turn has it, so that no other turn may. Looked at only where turns go on beside each other."""


A = TypeVar("A", bound=Actor)


class Dispatcher(Generic[A]):
    """Collects the actors that have mail and hands them to `turn`, all that are ready at a time.

    While a turn awaits its commit, senders go on filling mailboxes, which makes the next turn's batch: the slower the
    store, the larger its transactions.

    Above one, as many tasks as `turns_max` are to run `run`. Then a turn begins while another one awaits its commit,
    over other actors, and takes no more than its share of those at work, so that both commits are of a size. It takes
    at least `actors_min`: fewer wait for the other's end, since a transaction has its price.
    """

    def __init__(
        self,
        turn: Callable[[list[A]], Awaitable[None]],
        new_reply: Callable[[], Reply],
        *,
        turns_max: int = 1,
        actors_min: int = 1,
    ) -> None:
        self._turn = turn
        self._signal = Signal(new_reply)
        self._turns_max = turns_max
        self._actors_min = actors_min
        self._taking = anyio.Lock(fast_acquire=True)
        """Of the tasks without a turn one waits for mail, and the others for that one to have found some."""
        self._wanted = 1
        """Actors for which the next turn waits."""
        self._under_way = 0
        self._in_turns = 0
        self.ready: list[A] = []
        self.held: list[A] = []
        """Actors that got mail while a turn had them, and are ready when a turn has ended."""
        self.is_alone = False
        """Whether no turn is to begin beside another one for the time being."""
        self.turns = 0

    def wake(self, actor: A) -> None:
        """Lets an actor take part in the next turn; called when its mailbox gets its first message."""
        ready = self.ready
        ready.append(actor)
        if len(ready) == self._wanted:
            self._signal.set()

    def put_first(self, actors: list[A]) -> None:
        """Lets actors that a turn could not finish take part in the next one, before those that came since."""
        self.ready[:0] = actors
        self._signal.set()

    async def run(self) -> None:
        """Turns for ever; `turn` gives back, by `put_first`, the actors that it could not finish."""
        while True:
            if self._turns_max > 1:
                await self._run_beside()
            elif self.ready:
                actors, self.ready = self.ready, []
                self.turns += 1
                await self._turn(actors)
            else:
                await self._signal.wait()
                continue
            if self.ready:
                # A store that answers at once must not keep the event loop from everybody else.
                await anyio.lowlevel.checkpoint()

    async def _run_beside(self) -> None:
        """One turn, which may begin before another has ended."""
        async with self._taking:
            while not (actors := self._share()):
                await self._signal.wait()
            self._under_way += 1
            self._in_turns += len(actors)
            self._wanted = self._actors_min
        self.turns += 1
        try:
            await self._turn(actors)
        finally:
            self._under_way -= 1
            self._in_turns -= len(actors)
            if not self._under_way:
                self._wanted = 1
            if self.held or self.ready:
                held, self.held = self.held, []
                self.put_first(held)

    def _share(self) -> list[A]:
        """The actors of a turn that begins now; none where it is better to wait for the end of another one."""
        ready, least = self.ready, self._actors_min
        if self._under_way and len(ready) >= least:
            self.held += [actor for actor in ready if actor.busy]
            ready = [actor for actor in ready if not actor.busy]
        at_work = self._in_turns + len(ready)
        if self._under_way and (self.is_alone or len(ready) < least):
            share = 0
        elif self._under_way or (at_work >= 2 * least and not self.is_alone):
            share = max(least, -(-at_work // self._turns_max))
        else:
            share = at_work
        self.ready = ready[share:]
        return ready[:share]
