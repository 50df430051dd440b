"""Pace: which of many observations are recorded, so that the price of a record does not grow with the load."""

from typing import Final

RECORDS_PER_S: Final = 200
"""Up to so many in a second all are recorded. A record costs about 5 µs, a thousandth of a second's work at most."""


class Pace:
    """Beyond the pace every n-th is recorded: of slow ones and fast ones alike, so quantiles stay."""

    def __init__(self) -> None:
        self._stride = 1
        self._seen = 0
        self._skip = 0
        self._until = 0.0

    def picked(self, count: int, now: float) -> range:
        """Indexes of those to record, of `count` that came at `now` seconds."""
        if now >= self._until:
            # What the last second brought is expected of the next.
            self._stride = 1 + self._seen // RECORDS_PER_S if now < self._until + 1.0 else 1
            self._seen, self._until = 0, now + 1.0
            self._skip = min(self._skip, self._stride - 1)
        self._seen += count
        self._stride = max(self._stride, 1 + self._seen // RECORDS_PER_S)
        picked = range(self._skip, count, self._stride)
        self._skip = (picked[-1] + self._stride if picked else self._skip) - count
        return picked
