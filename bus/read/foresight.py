"""Foresight: folds the batches after the one that is being committed, for when that has succeeded."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import anyio
import msgspec

from bus.core.messages import View
from bus.ports import Clock
from bus.read.folding import Folded, Folding
from bus.read.parking import Parking
from bus.read.subscription import Slice
from bus.runtime.log import log, told


class Foreseen(msgspec.Struct, frozen=True):
    """What a batch makes of the views, once the one before it is in the store."""

    folded: Folded
    started: float
    """When the work on it began, on the loop's clock."""


class Look(msgspec.Struct, eq=False):
    """One look at a batch to come."""

    batch: Slice
    base: Folded
    """What must have been committed last for it to be true."""
    is_over: anyio.Event
    found: Foreseen | None = None
    """Stays None where something went wrong."""


_LOOKS = 2
"""While the first waits for its turn, the views that the second changes are read."""


class Foresight:
    """Is true or of no use: what it finds is taken only where exactly that was committed which it was built upon.

    The views before a batch are those of the batches before it that are not committed yet, else those remembered, else
    those in the store; of these no commit under way changes any, so that it does not matter which comes first. Nothing
    is remembered before the batch itself is committed. Whatever goes wrong is left to the attempt without foresight.
    """

    def __init__(
        self,
        folding: Folding,
        parking: Parking,
        load: Callable[[Sequence[str]], Awaitable[Mapping[str, bytes]]],
        clock: Clock,
    ) -> None:
        self._folding = folding
        self._parking = parking
        self._load = load
        self._clock = clock
        self._looks: list[Look] = []
        """Each builds upon the one before it."""

    async def look(self, batch: Slice, committing: Folded) -> bool:
        """Folds a batch that follows the one that is being committed, or the last that was looked at. Raises nothing.

        Returns whether there is room for another look.
        """
        if self._looks and committing is not self._looks[0].base:
            self.forget()
        for look in self._looks:
            if look.batch is batch:
                if not look.is_over.is_set():
                    await look.is_over.wait()
                return len(self._looks) < _LOOKS
        # What becomes letters is not folded, and a commit may add some.
        if len(self._looks) >= _LOOKS or not self._parking.is_idle:
            return False
        staged = committing.views
        if self._looks:
            before = self._looks[-1]
            if before.found is None or before.batch.last.position != batch.last.position - batch.read:
                return False
            # What came before those two is in the store, or the first look would still be among them.
            committing, staged = before.found.folded, {**before.base.views, **before.found.folded.views}
        look = Look(batch, committing, anyio.Event())
        self._looks.append(look)
        await self._fold(look, staged)
        return len(self._looks) < _LOOKS

    async def _fold(self, look: Look, staged: Mapping[str, View | None]) -> None:
        started, folding = self._clock.monotonic(), self._folding
        try:
            touches = folding.touches(look.batch.events)
            before, missing = folding.recall(touches, staged)
            if missing:
                before.update(folding.read(missing, await self._load(missing)))
            look.found = Foreseen(folding.fold(touches, before), started)
        except Exception as error:
            log.debug("a batch was not folded ahead", position=look.batch.last.position, error=told(error))
        finally:
            look.is_over.set()

    async def seen(self, batch: Slice) -> Foreseen | None:
        """What was foreseen of this very batch, where it has come true; waits for a look under way."""
        if not self._looks or self._looks[0].batch is not batch:
            self.forget()
            return None
        look = self._looks[0]
        if not look.is_over.is_set():
            await look.is_over.wait()
        if look.found is None or look.base is not self._folding.latest or not self._parking.is_idle:
            self.forget()
            return None
        del self._looks[0]
        return look.found

    def forget(self) -> None:
        """Nothing that was seen is true any more."""
        self._looks = []
