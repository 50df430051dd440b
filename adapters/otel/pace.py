"""Pace: which of many observations are recorded, so that the price of a record does not grow with the load."""

from typing import Final

RECORDS_PER_S: Final = 20
"""Up to so many in a second all are recorded. A record costs 5 µs, and 20 between two turns, where caches are cold."""

BURST: Final = 2 * RECORDS_PER_S
"""As many are recorded in a second that brings more than the last one let expect; the rest of it goes unrecorded."""


class Pace:
    """Beyond the pace every n-th is recorded: of slow ones and fast ones alike, so quantiles stay."""

    def __init__(self) -> None:
        self._stride = 1
        self._seen = 0
        self._room = 0
        self._skip = 0
        self._until = 0.0

    def picked(self, count: int, now: float) -> range:
        """Indexes of those to record, of `count` that came at `now` seconds."""
        if now >= self._until:
            # What the last second brought is expected of the next.
            self._stride = 1 + self._seen // RECORDS_PER_S if now < self._until + 1.0 else 1
            self._seen, self._room, self._until = 0, BURST, now + 1.0
            self._skip = min(self._skip, self._stride - 1)
        self._seen += count
        skip, stride = self._skip, self._stride
        if count <= skip or not self._room:
            self._skip = max(0, skip - count)
            return _NONE
        picked = range(skip, count, stride)[: self._room]
        self._room -= len(picked)
        self._skip = max(0, picked[-1] + stride - count)
        return picked


_NONE: Final = range(0)
