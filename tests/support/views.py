"""A view store in memory that does as it is told: it fails before or after committing, refuses, or holds a commit."""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Literal, Self

import anyio

from bus.core.builds import Build, Standing
from bus.core.errors import StoreUnavailable
from bus.core.letters import DeadLetter, Request
from bus.core.projection import IndexValue
from bus.core.stored import Checkpoint, Claim, ViewChanges, ViewTable
from bus.memory import MemoryViewStore
from bus.ports import ViewReader

Fault = Literal["none", "refuse", "before", "after", "late", "lose"]
"""What happens to a commit: nothing unusual, `StoreUnavailable`, another error before or after writing, one after
which it is written when the next commit comes, or another writer that moves the checkpoint first."""


class ToldViewStore:
    """Obeys the laws of view stores; what it is told is within what they allow."""

    def __init__(self, kept: MemoryViewStore | None = None) -> None:
        self.kept = kept or MemoryViewStore()
        self.faults: deque[Fault] = deque()
        """What becomes of the next commits, one each."""
        self.faulty: str | None = None
        """Only commits of this projection meet the faults; None means all."""
        self.is_down = False
        """Everything but opening and closing raises `StoreUnavailable`."""
        self.renews = True
        """Whether claims arrive: with a process that is paused, none do."""
        self.claims: list[set[str]] = []
        """Projections of each claim."""
        self.commits: list[tuple[str, int]] = []
        """Projection and position of each commit that was written."""
        self.sizes: list[int] = []
        """How many positions each of them went forward."""
        self.commits_tried = 0
        self.tells = 0
        self.snapshots_open = 0
        self.snapshots_taken = 0
        self.snapshot_gate: anyio.Event | None = None
        """While it is not set, a snapshot is handed out no sooner, however old it becomes."""
        self._late: dict[str, ViewChanges] = {}
        self._gates: dict[str, anyio.Event] = {}
        self._arrived: dict[str, anyio.Event] = {}

    @property
    def url(self) -> str:
        return "memory:told"

    @property
    def shared(self) -> bool:
        return self.kept.shared

    async def __aenter__(self) -> Self:
        await self.kept.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self.kept.__aexit__(kind, error, trace)

    def hold(self, projection: str) -> None:
        """Lets the next commits of this projection wait for `let_go`."""
        self._gates[projection] = anyio.Event()
        self._arrived[projection] = anyio.Event()

    async def held(self, projection: str) -> None:
        """Returns when a commit waits."""
        await self._arrived[projection].wait()

    def let_go(self, projection: str) -> None:
        self._gates.pop(projection).set()

    async def prepare(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        self._check_up()
        return await self.kept.prepare(tables)

    async def known(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        self._check_up()
        return await self.kept.known(tables)

    async def claim(self, tables: Sequence[ViewTable], owner: str, lease_s: float) -> Mapping[ViewTable, Claim]:
        self._check_up()
        self.claims.append({table.projection for table in tables})
        if not self.renews:
            raise StoreUnavailable("no claim arrives", store=self.url)
        return await self.kept.claim(tables, owner, lease_s)

    async def release(self, tables: Sequence[ViewTable], owner: str) -> None:
        self._check_up()
        await self.kept.release(tables, owner)

    async def reindex(
        self, table: ViewTable, values_of: Callable[[bytes], tuple[IndexValue, ...]], views_max: int
    ) -> None:
        self._check_up()
        await self.kept.reindex(table, values_of, views_max)

    async def load(self, table: ViewTable, keys: Sequence[str]) -> Mapping[str, bytes]:
        self._check_up()
        return await self.kept.load(table, keys)

    async def build(self, table: ViewTable, since: datetime) -> None:
        self._check_up()
        await self.kept.build(table, since)

    async def switch(self, table: ViewTable, epoch: int, over: ViewTable, since: datetime) -> bool:
        self._check_up()
        return await self.kept.switch(table, epoch, over, since)

    async def drop(self, table: ViewTable) -> bool:
        self._check_up()
        return await self.kept.drop(table)

    async def tell(self, table: ViewTable, standing: Standing) -> None:
        self._check_up()
        self.tells += 1
        await self.kept.tell(table, standing)

    async def builds(self) -> Sequence[Build]:
        self._check_up()
        return await self.kept.builds()

    async def parked(self, table: ViewTable) -> Mapping[str, int]:
        self._check_up()
        return await self.kept.parked(table)

    async def letters(
        self, table: ViewTable, key: str | None = None, *, after: tuple[int, str] = (0, ""), limit: int
    ) -> Sequence[DeadLetter]:
        self._check_up()
        return await self.kept.letters(table, key, after=after, limit=limit)

    async def ask(self, request: Request) -> None:
        self._check_up()
        await self.kept.ask(request)

    async def requests(self, *, is_open: bool, limit: int) -> Sequence[Request]:
        self._check_up()
        return await self.kept.requests(is_open=is_open, limit=limit)

    async def asked(self, request_id: str) -> Request | None:
        self._check_up()
        return await self.kept.asked(request_id)

    async def answer(self, request: Request) -> None:
        self._check_up()
        await self.kept.answer(request)

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        self._check_up()
        name = table.projection
        self.commits_tried += 1
        if name in self._gates:
            self._arrived[name].set()
            await self._gates[name].wait()
        if (late := self._late.pop(name, None)) is not None and await self.kept.commit(table, late):
            self.commits.append((name, late.checkpoint.position))
        fault = self.faults.popleft() if self.faults and self.faulty in (None, name) else "none"
        if fault == "refuse":
            raise StoreUnavailable("nothing was written", store=self.url)
        if fault == "before":
            raise ConnectionError("lost on the way there")
        if fault == "late":
            self._late[name] = changes
            raise ConnectionError("lost on the way there, it seems")
        if fault == "lose":
            stolen = Checkpoint(changes.checkpoint.position + 1_000, "somebody", "else-1", 1)
            await self.kept.commit(table, ViewChanges(changes.expected, stolen, (), (), changes.epoch))
        written = await self.kept.commit(table, changes)
        if written:
            self.commits.append((name, changes.checkpoint.position))
            self.sizes.append(changes.checkpoint.position - changes.expected.position)
        if fault == "after":
            raise ConnectionError("lost on the way back")
        return written

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[ViewReader]:
        self._check_up()
        async with self.kept.snapshot() as reader:
            self.snapshots_open += 1
            self.snapshots_taken += 1
            try:
                if self.snapshot_gate is not None:
                    await self.snapshot_gate.wait()
                yield reader
            finally:
                self.snapshots_open -= 1

    def _check_up(self) -> None:
        if self.is_down:
            raise StoreUnavailable("the view store is down", store=self.url)
