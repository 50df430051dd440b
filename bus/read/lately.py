"""Lately: how much was projected in the last seconds, at the price of two additions for each transaction."""

from typing import Final

WINDOW_S: Final = 10
"""How long what was done counts as lately."""
BUILD_WINDOW_S: Final = 60
"""The same of views that are being built, which rest between two transactions."""
_SHORTEST_S: Final = 1.0
"""A rate over less than that says nothing."""


class Lately:
    """Counts by second, in a ring, which may be looked at from another thread; times are those of the loop's clock."""

    def __init__(self, now: float, window_s: int = WINDOW_S) -> None:
        self._since = now
        self._window_s = window_s
        self._seconds = [-1] * window_s
        self._events = [0] * window_s
        self._batches = [0] * window_s

    def add(self, now: float, events: int) -> None:
        """Counts a transaction of so many events."""
        second = int(now)
        place = second % self._window_s
        if self._seconds[place] != second:
            self._seconds[place], self._events[place], self._batches[place] = second, 0, 0
        self._events[place] += events
        self._batches[place] += 1

    def events_per_s(self, now: float) -> float:
        """Events in a second, on the average; of less time where there was less since the beginning."""
        # The seconds that count begin with a whole one, of which the present one is not yet over.
        begin = max(self._since, float(int(now) - self._window_s + 1))
        return self._sum(self._events, now) / max(now - begin, _SHORTEST_S)

    def batch_events(self, now: float) -> float:
        """Events of a transaction, on the average; 0 where there was none."""
        batches = self._sum(self._batches, now)
        return self._sum(self._events, now) / batches if batches else 0.0

    def _sum(self, counts: list[int], now: float) -> int:
        oldest = int(now) - self._window_s + 1
        return sum([count for second, count in zip(self._seconds, counts, strict=True) if second >= oldest])
