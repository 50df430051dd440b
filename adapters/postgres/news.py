"""News between processes of what was committed: by NOTIFY, rarely and never in that transaction, and by LISTEN."""

import asyncio
from collections.abc import Callable
from typing import Any

from adapters.postgres.connections import Connection, connect
from adapters.postgres.errors import DRIVER_ERRORS, unavailable
from adapters.postgres.urls import Target
from bus.core.errors import StoreUnavailable


class News:
    """Tells other processes how far this one has come, and hears how far they have.

    NOTIFY takes a lock of the whole server at its commit, so it is a transaction of its own, at most one each
    `interval_s`, for all that was committed meanwhile.
    """

    def __init__(self, target: Target, channel: str, *, interval_s: float, timeout_s: float) -> None:
        self._target = target
        self._channel = channel
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._number = 0
        self._told = 0
        self._stirred = asyncio.Event()

    def tell(self, number: int) -> None:
        """Makes a number known, which is larger than those before; returns at once."""
        self._number = number
        self._stirred.set()

    async def follow(self, heard: Callable[[int], None], first_query: str) -> None:
        """See the port `Waking`; the answer of `first_query` is heard at the beginning.

        Needs a session of its own, and so a direct connection to the server.
        """
        try:
            connection = await connect(self._target, self._timeout_s)
        except (*DRIVER_ERRORS, ValueError) as error:
            raise unavailable(error, self._target.url) from error
        try:
            await self._exchange(connection, heard, first_query)
        except DRIVER_ERRORS as error:
            raise unavailable(error, self._target.url) from error
        finally:
            connection.terminate()

    async def _exchange(self, connection: Connection, heard: Callable[[int], None], first_query: str) -> None:
        def on_notice(_: Any, pid: int, channel: str, payload: Any) -> None:
            # What this process has told itself is no news to it.
            if pid != own:
                heard(int(payload))

        own = connection.get_server_pid()
        connection.add_termination_listener(lambda _: self._stirred.set())
        await connection.add_listener(self._channel, on_notice)
        # What is lost with the server needs no telling.
        await connection.execute("SET synchronous_commit = off")
        # What was committed before somebody listened is told by nobody any more.
        heard(await connection.fetchval(first_query))
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            if connection.is_closed():
                raise StoreUnavailable(
                    f"{self._target.url}: the connection that listens was lost", store=self._target.url
                )
            if self._number > self._told:
                self._told = self._number
                async with asyncio.timeout(self._timeout_s):
                    await connection.execute("SELECT pg_notify($1, $2)", self._channel, str(self._told))
                await asyncio.sleep(self._interval_s)
