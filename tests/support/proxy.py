"""A proxy between a client and a server that passes a given number of bytes and then stalls or cuts the connection."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Counts what passes; `stall_after` and `cut_after` count the bytes from the moment that they are called."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._writers: list[asyncio.StreamWriter] = []
        self._budget: dict[bool, int | None] = {True: None, False: None}
        self._cuts = False
        self._released = asyncio.Event()
        self._released.set()
        self.reached = asyncio.Event()
        """Set when the limit is."""
        self.to_server = 0
        self.to_client = 0
        self.url = ""

    def cut_after(self, size: int, *, to_server: bool = True) -> None:
        """Lets so many more bytes through, then closes the connection on both sides."""
        self._limit(size, to_server=to_server, cuts=True)

    def stall_after(self, size: int, *, to_server: bool = True) -> None:
        """Lets so many more bytes through, and the rest when it is released."""
        self._limit(size, to_server=to_server, cuts=False)

    def release(self) -> None:
        self._budget = {True: None, False: None}
        self._released.set()

    def _limit(self, size: int, *, to_server: bool, cuts: bool) -> None:
        self._budget[to_server] = size
        self._cuts = cuts
        self.reached.clear()
        self._released.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._parts.hostname is not None
        from_server, to_server = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        self._writers += [writer, to_server]
        await asyncio.gather(
            self._pass(reader, to_server, writer, to_server=True),
            self._pass(from_server, writer, to_server, to_server=False),
        )

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        other: asyncio.StreamWriter,
        *,
        to_server: bool,
    ) -> None:
        try:
            while data := await reader.read(65_536):
                budget = self._budget[to_server]
                if budget is not None and len(data) >= budget:
                    writer.write(data[:budget])
                    await writer.drain()
                    self._budget[to_server] = 0
                    self.reached.set()
                    if self._cuts:
                        break
                    await self._released.wait()
                    data = data[budget:]
                elif budget is not None:
                    self._budget[to_server] = budget - len(data)
                self._count(len(data), to_server=to_server)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
            other.close()

    def _count(self, size: int, *, to_server: bool) -> None:
        if to_server:
            self.to_server += size
        else:
            self.to_client += size

    def end(self) -> None:
        self.release()
        for writer in self._writers:
            writer.transport.abort()

    def listening_at(self, port: int) -> None:
        user, at, _ = self._parts.netloc.rpartition("@")
        self.url = urlunsplit(self._parts._replace(netloc=f"{user}{at}127.0.0.1:{port}"))


@asynccontextmanager
async def proxy(url: str) -> AsyncGenerator[Proxy]:
    """Listens until the context ends; its `url` is that of the server, by way of it."""
    made = Proxy(url)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    made.listening_at(port)
    try:
        yield made
    finally:
        server.close()
        made.end()
        await asyncio.sleep(0)
