"""Pacing: how a projector that builds views leaves the machine to those that it must not disturb."""

import anyio

from bus.read.services import Services

_REST_MAX_S = 10.0
"""What takes so long that more would be due has mostly waited, and people want to see an end."""


class Pace:
    """Lets work take a share of the time while events are being recorded, and all of it while none are."""

    def __init__(self, services: Services) -> None:
        self._feed = services.feed
        self._share = min(1.0, services.limits.rebuild_share)
        self._events_max = services.limits.projection_events_max
        self._head = services.feed.head

    async def rest(self, worked_s: float, position: int) -> None:
        """Rests after work of that long, which has reached `position`; not where the end is near."""
        head, before = self._feed.head, self._head
        self._head = head
        if head != before and head - position > self._events_max:
            await anyio.sleep(min(worked_s * (1.0 / self._share - 1.0), _REST_MAX_S))
