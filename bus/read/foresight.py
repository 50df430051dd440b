"""Foresight: folds the batch after the one that is being committed, for when that has succeeded."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import anyio
import msgspec

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


class Foresight:
    """Is true or of no use: what it finds is taken only where exactly that was committed which it was built upon.

    The views before the batch are taken from what is staged and what is remembered when the look begins, and the others
    from the store. Of those the commit under way changes none, so that it does not matter which comes first. Nothing is
    remembered until the batch itself is committed. Whatever goes wrong is left to the attempt without foresight.
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
        self._look: Look | None = None

    async def look(self, batch: Slice, base: Folded) -> None:
        """Folds a batch into the views as `base` leaves them, which is about to be committed. Raises nothing."""
        if not self._parking.is_idle:
            # What becomes letters is not folded, and a commit may add some.
            return
        look = self._look = Look(batch, base, anyio.Event())
        started, folding = self._clock.monotonic(), self._folding
        try:
            touches = folding.touches(batch.events)
            before, missing = folding.recall(touches, base.views)
            if missing:
                before.update(folding.read(missing, await self._load(missing)))
            look.found = Foreseen(folding.fold(touches, before), started)
        except Exception as error:
            log.debug("a batch was not folded ahead", position=batch.last.position, error=told(error))
        finally:
            look.is_over.set()

    async def seen(self, batch: Slice) -> Foreseen | None:
        """What was foreseen of this very batch, where it has come true; waits for a look under way."""
        look, self._look = self._look, None
        if look is None or look.batch is not batch:
            return None
        await look.is_over.wait()
        if look.base is not self._folding.latest or not self._parking.is_idle:
            return None
        return look.found

    def forget(self) -> None:
        """Nothing that was seen is true any more."""
        self._look = None
