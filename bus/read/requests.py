"""Requests: what people ask of a projector, carried out by it in steps and answered in the view store."""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from bus.core.letters import Request
from bus.core.stored import Checkpoint
from bus.ports import Clock, ViewStore
from bus.read.parking import Parking
from bus.read.replaying import Replayed

GONE: Final = "there is no such letter: it was discarded or brought into its view already, or never was"
"""Also where it was discarded and its process ended before that was answered."""


class Replays(Protocol):
    """How letters leave; each call may be repeated."""

    async def retry(self, key: str, checkpoint: Checkpoint, epoch: int) -> Replayed:
        """Brings the next letters of a key into its view, up to one that fails again."""
        ...

    async def discard(self, key: str, position: int, checkpoint: Checkpoint, epoch: int) -> bool:
        """Removes one letter; False where there is none."""
        ...


class Requests:
    """Those that one projector has taken and not yet answered, oldest first."""

    def __init__(self, replaying: Replays, parking: Parking, *, view_store: ViewStore, clock: Clock) -> None:
        self._replaying = replaying
        self._parking = parking
        self._view_store = view_store
        self._clock = clock
        self.on_answer: Callable[[Request], None] = lambda _: None
        """Called with what was answered."""
        self._open: deque[Request] = deque()
        self._keys: list[str] | None = None
        """What is left of the first one; None before it is begun."""
        self._events = 0
        self._errors: dict[str, str] = {}
        self._is_discarded = False
        """Whether the first one, to discard, has been carried out, but not answered yet."""

    @property
    def are_waiting(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._open)

    def add(self, request: Request) -> bool:
        """Takes a request; False for one that it has."""
        if any(one.id == request.id for one in self._open):
            return False
        self._open.append(request)
        return True

    def clear(self) -> None:
        """Leaves everything to whoever projects next: what is not answered in the store is asked again."""
        self._open.clear()
        self._keys = None
        self._is_discarded = False

    async def step(self, checkpoint: Checkpoint, epoch: int) -> frozenset[str]:
        """Does a part of the first request, and answers it where that was the last; returns the keys of changed views.

        Raises what the stores raise; to call it again is safe.
        """
        request = self._open[0]
        if request.action == "discard":
            assert request.key is not None
            assert request.position is not None
            found = self._is_discarded or await self._replaying.discard(
                request.key, request.position, checkpoint, epoch
            )
            self._is_discarded = found
            await self._answer(request, found, "discarded" if found else GONE)
            return frozenset()
        if self._keys is None:
            keys = list(self._parking.letters) if request.key is None else [request.key]
            self._keys = [key for key in keys if key in self._parking.letters]
            self._events, self._errors = 0, {}
        if not self._keys:
            await self._answer(request, not self._errors, self._summary(request))
            return frozenset()
        keys = self._keys
        replayed = await self._replaying.retry(keys[-1], checkpoint, epoch)
        self._events += replayed.events
        if replayed.error is not None:
            self._errors[keys[-1]] = replayed.error
        if replayed.error is not None or not replayed.left:
            keys.pop()
        return replayed.views

    def _summary(self, request: Request) -> str:
        if not self._events and not self._errors:
            return "nothing is parked" if request.key is None else f"key {request.key!r} is not parked"
        told = f"{self._events} events are in the views now"
        if not self._errors:
            return told
        key, error = next(iter(self._errors.items()))
        others = f", and {len(self._errors) - 1} more keys" if len(self._errors) > 1 else ""
        return f"{told}; key {key!r} failed again{others}: {error}"

    async def _answer(self, request: Request, is_done: bool, answer: str) -> None:
        told = msgspec.structs.replace(request, answered_at=self._clock.now(), is_done=is_done, answer=answer)
        await self._view_store.answer(told)
        # Everything may have been left to another process meanwhile.
        if self._open and self._open[0] is request:
            self._open.popleft()
            self._keys = None
            self._is_discarded = False
        self.on_answer(told)
