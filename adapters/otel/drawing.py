"""Drawing: which roots are recorded, drawn for many of them at once instead of one by one."""

import math
import random
from typing import Final

from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

LOW_BITS: Final = TraceIdRatioBased.TRACE_ID_LIMIT
"""The bits of a trace id that a ratio looks at."""


class Drawing:
    """What drawing a trace id for every root, and recording those with low bits under `bound`, comes to.

    The number of roots up to the next that is recorded has a geometric distribution, and the low bits of that one's id
    are as likely one number under the bound as another. A draw for each root costs as much as all else that is done
    for one that is dropped.
    """

    def __init__(self, bound: int, source: random.Random | None = None) -> None:
        self._bound = bound
        self._source = source or random.Random()

    def gap(self) -> float:
        """Which of the roots to come is the next that is recorded: 1 for the very next, infinity for none."""
        if self._bound > LOW_BITS:
            return 1.0
        if self._bound <= 0:
            return math.inf
        missed = math.log1p(-self._bound / (LOW_BITS + 1))
        return 1.0 + math.floor(math.log(1.0 - self._source.random()) / missed)

    def trace_id(self) -> int:
        """That one's."""
        return self._source.getrandbits(64) << 64 | self._source.randrange(self._bound) or 1
