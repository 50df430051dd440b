"""Stores for tests: in memory, with a script of what goes wrong at the next appends and reads."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import anyio
import msgspec

from bus.core.errors import StoreUnavailable
from bus.core.stored import Append, Appended, NewEvent, StoredEvent
from bus.memory import MemoryEventStore

Record = Callable[[], Awaitable[Appended]]
Step = Callable[[Record], Awaitable[Appended]]
"""What becomes of one append; it calls `record` to have it carried out."""

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


class FakeEventStore(MemoryEventStore):
    """Keeps the laws of the port; `script` says what happens to the next appends, one step for each."""

    def __init__(self, *, shared: bool = False, appends_at_once: int = 1) -> None:
        super().__init__(shared=shared)
        self.appends_at_once = appends_at_once
        self.script: deque[Step] = deque()
        self.batches: list[list[Append]] = []
        """What `append` was given, attempt by attempt."""
        self.times: list[datetime] = []
        """The `recorded_at` of each attempt."""
        self.reads = 0
        self.read_fault: BaseException | None = None
        """Raised by every read of streams while it is set."""
        self.read_gate: Gate | None = None
        """Where the next reads of streams wait."""
        self.unstorable: set[str] = set()
        """Ids of commands whose events this store cannot hold."""

    async def append(self, batch: Sequence[Append], recorded_at: datetime) -> Appended:
        self.batches.append(list(batch))
        self.times.append(recorded_at)

        async def record() -> Appended:
            return await super(FakeEventStore, self).append(self._spoiled(batch), recorded_at)

        return await self.script.popleft()(record) if self.script else await record()

    async def stream_pages(self, after: Mapping[str, int], limit: int) -> Sequence[StoredEvent]:
        self.reads += 1
        if self.read_gate is not None:
            await self.read_gate.passed()
        if self.read_fault is not None:
            raise self.read_fault
        return await super().stream_pages(after, limit)

    def _spoiled(self, batch: Iterable[Append]) -> list[Append]:
        return [
            msgspec.structs.replace(entry, causation_id="\0") if entry.command_id in self.unstorable else entry
            for entry in batch
        ]

    async def foreign(
        self,
        stream: str,
        *events: tuple[str, bytes],
        command_id: str | None = None,
        fingerprint: bytes = b"foreign",
    ) -> None:
        """What another process appends to a stream."""
        version = len(self._streams.get(stream, []))
        new = tuple(NewEvent(name, payload) for name, payload in events)
        entry = Append(stream, version, new, command_id or f"foreign-{len(self._log)}", fingerprint)
        async with self._counted():
            appended = await MemoryEventStore.append(self, [entry], NOON)
        assert not appended.refused

    def _counted(self) -> "_Used":
        return _Used(self)


class _Used:
    """Lets a test write to a store that no bus has open."""

    def __init__(self, store: MemoryEventStore) -> None:
        self._store = store

    async def __aenter__(self) -> None:
        self._store._users += 1

    async def __aexit__(self, *_: object) -> None:
        self._store._users -= 1


class Gate:
    """Holds whoever comes until it is released."""

    def __init__(self) -> None:
        self.reached = anyio.Event()
        self._released = anyio.Event()

    def release(self) -> None:
        self._released.set()

    async def passed(self) -> None:
        self.reached.set()
        await self._released.wait()

    async def before(self, record: Record) -> Appended:
        """A step that waits, then records."""
        await self.passed()
        return await record()

    async def after(self, record: Record) -> Appended:
        """A step that records, then waits."""
        appended = await record()
        await self.passed()
        return appended

    async def unavailable(self, record: Record) -> Appended:
        """A step that waits and then fails for certain."""
        await self.passed()
        return await unavailable(record)

    async def lost(self, record: Record) -> Appended:
        """A step that waits and then fails without having recorded, which nobody knows."""
        await self.passed()
        return await lost_before(record)


async def normal(record: Record) -> Appended:
    """A step on which nothing goes wrong."""
    return await record()


async def unavailable(record: Record) -> Appended:
    """A step that fails for certain."""
    raise StoreUnavailable("the store is away", store="fake:")


async def lost_before(record: Record) -> Appended:
    """A step that fails, for all that anybody knows perhaps after it has recorded; it has not."""
    raise ConnectionError("the connection broke")


async def lost_after(record: Record) -> Appended:
    """A step that records, and fails all the same."""
    await record()
    raise ConnectionError("the connection broke")


class Crash(BaseException):
    """The end of the process, as far as a test can have it."""


async def crash_before(record: Record) -> Appended:
    raise Crash


async def crash_after(record: Record) -> Appended:
    await record()
    raise Crash
