"""Feed: the events committed last, in position order, for the projectors that keep up."""

from collections.abc import Sequence

from bus.core.messages import Event, Recorded
from bus.runtime.signal import Signal


class Feed:
    """A window on the end of the store. Who stands before the window reads the store instead."""

    def __init__(self, events_max: int) -> None:
        self._events_max = events_max
        self._events: list[Recorded[Event]] = []
        self._before = 0
        """Position before the window's first event."""
        self._signals: list[Signal] = []
        self.head = 0
        """The last position known to be committed."""

    @property
    def has_listeners(self) -> bool:
        """Whether anybody would read what is published."""
        return bool(self._signals)

    def listen(self, signal: Signal) -> None:
        """`signal` is set after each publication."""
        self._signals.append(signal)

    def unlisten(self, signal: Signal) -> None:
        self._signals.remove(signal)

    def publish(self, before: int, events: Sequence[Recorded[Event]]) -> None:
        """Adds the events that follow position `before`.

        If the window does not end exactly there, another writer was in between: the window starts anew, and readers
        fetch from the store what they miss. Of two batches that were under way together, the earlier one may come
        last: then it goes before the window, or nowhere where another's lie in between.
        """
        if before + len(events) == self._before:
            self._events[:0] = events
            self._before = before
        elif before >= self._before:
            if self._before + len(self._events) != before:
                self._events = []
                self._before = before
            self._events.extend(events)
        surplus = len(self._events) - self._events_max
        # Shortened rarely and by much, since shortening a list moves all that remains.
        if surplus > self._events_max // 2:
            del self._events[:surplus]
            self._before += surplus
        self.advance(before + len(events))

    def advance(self, position: int) -> None:
        """Makes known that the store has events up to `position`, and wakes the listeners."""
        self.head = max(self.head, position)
        for signal in self._signals:
            signal.set()

    def learn(self, position: int) -> None:
        """As `advance`, save that nobody is woken where that is known already."""
        if position > self.head:
            self.advance(position)

    def after(self, position: int, limit: int) -> Sequence[Recorded[Event]] | None:
        """Up to `limit` events that follow `position`; None where the window does not reach back so far."""
        start = position - self._before
        if start < 0 or start > len(self._events):
            return None
        return self._events[start : start + limit]
