"""Neighbours: whether other processes append to the store too, judged by what lies between this one's own events."""

from typing import Final

_BATCHES: Final = 8
"""Looked at together."""

_SHARE: Final = 0.2
"""Of the positions given out meanwhile; above it others are at work. A batch that is under way counts as another's."""


class Neighbours:
    """Where others append, a second batch of this process's own waits for theirs and for a processor: it only costs."""

    def __init__(self) -> None:
        self.are_writing = False
        self._start = -1
        """The end of this process's last batch of those that were looked at before; -1 at first."""
        self._end = 0
        self._batches = 0
        self._events = 0

    def note(self, end: int, events: int) -> bool:
        """Takes in a batch of so many events, the last of them at position `end`; whether a judgement was made."""
        self._end = max(self._end, end)
        self._events += events
        self._batches += 1
        if self._batches < _BATCHES:
            return False
        given_out = self._end - self._start
        if self._start >= 0:
            self.are_writing = given_out - self._events > _SHARE * given_out
        self._start, self._batches, self._events = self._end, 0, 0
        return True
