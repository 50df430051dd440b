"""A bounded pool of connections, opened when needed and kept; one whose state is not known is not used again."""

import asyncio
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import asyncpg

from adapters.postgres.errors import DRIVER_ERRORS, unavailable
from adapters.postgres.urls import Target
from bus.core.errors import StoreUnavailable, Unusable

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = Any


_CONNECTING_S = 1.0


async def connect(target: Target, timeout_s: float) -> Connection:
    """A new connection; raises the driver's errors. Who is cancelled waits a little for it to be there, and ends it."""
    options: dict[str, Any] = {"statement_cache_size": 0} if target.pooled else {}
    connecting = asyncio.ensure_future(asyncpg.connect(target.dsn, timeout=timeout_s, **options))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        # Given up in the middle, the driver would leave errors that nobody takes.
        connecting.add_done_callback(_end)
        with anyio.CancelScope(shield=True):
            await asyncio.wait([connecting], timeout=_CONNECTING_S)
        connecting.cancel()
        raise


def require_asyncio(url: str) -> None:
    """Raises `Unusable` under another backend."""
    try:
        asyncio.get_running_loop()
    except RuntimeError as error:
        raise Unusable(
            f"{url}: the PostgreSQL stores need asyncio; run the bus under asyncio, or use the stores in bus.memory",
            store=url,
        ) from error


class Connections:
    """Up to `connections_max` at a time; who comes when all are in use waits."""

    def __init__(self, target: Target, connections_max: int, *, connect_timeout_s: float) -> None:
        self._target = target
        self._connect_timeout_s = connect_timeout_s
        self._room = asyncio.Semaphore(connections_max)
        self._idle: list[Connection] = []
        self._connecting: set[asyncio.Task[Connection]] = set()
        self._open: set[Connection] = set()
        self._is_closed = False

    def add(self, connection: Connection) -> None:
        """Takes one that was opened elsewhere."""
        self._open.add(connection)
        self._idle.append(connection)

    def lease(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for one user; raises `StoreUnavailable` where there is none to be had.

        When the body ends by an exception, cancellation included, nobody knows what the connection is in the middle
        of: it is closed and not used again. Whoever knows better catches the exception inside.
        """
        return _Lease(self)

    async def take(self) -> Connection:
        """See `lease`; what was taken must be given back."""
        await self._room.acquire()
        try:
            return await self._take()
        except BaseException:
            self._room.release()
            raise

    def give_back(self, connection: Connection, *, is_sound: bool) -> None:
        """Lets the next user have it, or none."""
        self._room.release()
        if not is_sound:
            self._discard(connection)
        elif connection in self._open:
            self._idle.append(connection)

    async def close(self) -> None:
        """Ends all connections, those in use as well."""
        self._is_closed = True
        for connecting in list(self._connecting):
            connecting.cancel()
            await asyncio.wait([connecting])
        for connection in list(self._open):
            self._discard(connection)
        self._idle.clear()
        # The transports that were aborted are closed by the loop's next steps.
        await asyncio.sleep(0)

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
            self._discard(connection)
        if self._is_closed:
            raise StoreUnavailable(f"{self._target.url} is closed", store=self._target.url)
        # Not given up in the middle, which the driver answers with errors that nobody takes: who was cancelled leaves,
        # and the connection ends when it has begun.
        connecting = asyncio.ensure_future(connect(self._target, self._connect_timeout_s))
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connected)
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.add_done_callback(_end)
            raise
        except (*DRIVER_ERRORS, ValueError) as error:
            raise unavailable(error, self._target.url) from error

    def _connected(self, connecting: "asyncio.Task[Connection]") -> None:
        self._connecting.discard(connecting)
        if not connecting.cancelled() and connecting.exception() is None:
            self._open.add(connecting.result())

    def _discard(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.terminate()


class _Lease(AbstractAsyncContextManager[Connection]):
    """A class, since a generator would take several times as long, and each append has one."""

    __slots__ = ("_connection", "_connections")

    _connection: Connection

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def __aenter__(self) -> Connection:
        self._connection = await self._connections.take()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._connections.give_back(self._connection, is_sound=kind is None)


def _end(connecting: "asyncio.Task[Connection]") -> None:
    """Ends a connection that nobody waits for any more."""
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().terminate()
