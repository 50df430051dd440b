"""Desk: takes what is asked of projections to whoever runs them, and waits for the answers."""

import anyio

from bus.core.letters import Request
from bus.read.lineages import Lineages
from bus.read.services import Services
from bus.runtime.log import log, told
from bus.runtime.reply import Reply
from bus.runtime.signal import Signal

_REQUESTS_MAX = 100
"""Taken at a time, besides those that are for others to take; the rest waits in the store."""


class Desk:
    """Looks for requests in the view store, where other processes and the command line leave them too."""

    def __init__(self, services: Services, lineages: Lineages) -> None:
        self._store = services.view_store
        self._lineages = lineages
        self._limits = services.limits
        self._new_reply = services.new_reply
        self._signal = Signal(services.new_reply)
        self._waiting: dict[str, Reply] = {}
        lineages.on_answer = self._answered

    async def run(self) -> None:
        """Looks again and again, for as long as the bus is open."""
        others = 0
        while True:
            try:
                found = await self._store.requests(is_open=True, limit=others + _REQUESTS_MAX)
                # Those of a version that nobody runs any more must not stand before those that came later.
                others = len([request for request in found if not self._lineages.ask(request)])
            except Exception as error:
                log.warning("requests cannot be read", store=self._store.url, error=told(error))
            await self._signal.wait(anyio.current_time() + self._limits.poll_interval_s)

    async def carry_out(self, request: Request, deadline: float) -> Request:
        """Asks, and returns the request as it is when it is answered, or at the deadline.

        Where nobody has answered by then, whoever runs the projection next will.
        """
        await self._store.ask(request)
        reply = self._waiting[request.id] = self._new_reply()
        self._signal.set()
        try:
            with anyio.CancelScope(deadline=deadline):
                while True:
                    with anyio.CancelScope(deadline=anyio.current_time() + self._limits.poll_interval_s):
                        answered: Request = await reply
                        return answered
                    # Perhaps another process has carried it out.
                    reply = self._waiting[request.id] = self._new_reply()
                    found = await self._store.asked(request.id)
                    if found is not None and found.answered_at is not None:
                        return found
        finally:
            del self._waiting[request.id]
        return request

    def _answered(self, request: Request) -> None:
        reply = self._waiting.get(request.id)
        if reply is not None and not reply.is_done:
            reply.set_result(request)
