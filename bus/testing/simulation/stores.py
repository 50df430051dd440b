"""Simulated stores: the ports as one process sees them, over the world's disk, with everything that may go wrong."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar

import anyio
import msgspec

from bus.core.builds import Build, Standing
from bus.core.errors import StoreUnavailable, ViewsDropped
from bus.core.finding import Place, Where
from bus.core.letters import DeadLetter, Request
from bus.core.messages import Command
from bus.core.projection import IndexValue
from bus.core.stored import (
    AlreadyRecorded,
    Append,
    Appended,
    Checkpoint,
    Claim,
    History,
    Snapshot,
    StoredEvent,
    ViewChanges,
    ViewTable,
)
from bus.ports import ViewReader
from bus.testing.simulation.asking import at_once
from bus.testing.simulation.loop import SimulatedLoop
from bus.testing.simulation.rebuilding_model import titled
from bus.testing.simulation.world import EPOCH, LATEST_S, Broken, World

T = TypeVar("T")


class _Raised(msgspec.Struct, frozen=True):
    """What a server's work raised, on its way to the client."""

    error: Exception


def running_loop() -> SimulatedLoop:
    """The loop that runs, which is a simulated one."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop), "simulated stores have no other clock"
    return loop


class Disk:
    """What both stores have of it: pauses, and failures."""

    url = "simulated:"

    def __init__(self, world: World) -> None:
        self._world = world

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        return None

    async def pause(self) -> None:
        """Time passes, mostly none."""
        world = self._world
        if world.happens(world.faults.hang):
            world.history.note("hang")
            await anyio.sleep(world.chance.uniform(1, 40))
        elif world.happens(world.faults.slow):
            await anyio.sleep(world.chance.choice([0.0005, 0.003, 0.02, 0.2]))
        else:
            # What `anyio.lowlevel.checkpoint` comes to on this loop, without looking for the kind of loop each time.
            await asyncio.sleep(0)

    async def read(self, rate: float) -> None:
        """What a read goes through; raises `StoreUnavailable` at that rate."""
        await self.pause()
        if self._world.happens(rate):
            self._world.history.note("read fails")
            raise self.unavailable()

    async def at_server(self, work: Callable[[], T]) -> T:
        """Has the work done. Where several buses share the store that may be while its client stands still, or after
        it has given up; then only the answer waits, or is nobody's."""
        world = self._world
        if world.buses == 1 or world.is_calm or world.chance.random() < 0.5:
            return work()
        answer: asyncio.Future[T | _Raised] = asyncio.get_running_loop().create_future()

        def serve() -> None:
            outcome: T | _Raised
            try:
                outcome = work()
            except Exception as error:
                outcome = _Raised(error)
            if not answer.done():
                answer.set_result(outcome)

        self.later(serve, [0.0, 0.0, 0.001, 0.05, 0.5])
        outcome = await answer
        if isinstance(outcome, _Raised):
            raise outcome.error
        return outcome

    def later(self, work: Callable[[], object], delays_s: Sequence[float]) -> None:
        """Has the server do something after one of these times, whoever is there by then."""
        loop, delay_s = running_loop(), self._world.chance.choice(delays_s)

        async def serve() -> None:
            await anyio.sleep(delay_s)
            work()

        with loop.within(loop.world):
            loop.create_task(serve())

    def unavailable(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self.url} is away for a moment: nothing was recorded", store=self.url)


class SimulatedEventStore(Disk):
    """The event store of one life of the process."""

    def __init__(self, world: World, draw: Callable[[], Command], check: Callable[[], None]) -> None:
        super().__init__(world)
        self._draw = draw
        self._check_process = check
        self.shared = world.is_shared
        self.appends_at_once = world.appends_at_once
        self.identity = world.events.identity

    async def append(self, batch: Sequence[Append], recorded_at: datetime) -> Appended:
        world, faults = self._world, self._world.faults
        self._check(batch)
        await self.pause()
        if self.shared and world.happens(faults.foreign_append):
            world.append_foreign(batch, self._draw, recorded_at)
        if world.happens(faults.append_refused):
            world.history.note("append refused", f"{len(batch)} entries")
            raise self.unavailable()
        if world.happens(faults.append_lost):
            world.history.note("append lost", f"{len(batch)} entries")
            raise Broken("the connection is gone")
        if self.shared and world.happens(faults.append_late):
            world.history.note("append late", f"{len(batch)} entries")
            world.append_late(running_loop(), batch, recorded_at)
            raise Broken("the connection is gone")
        appended = await self.at_server(lambda: world.append(batch, recorded_at))
        await self.pause()
        if world.happens(faults.answer_lost):
            world.history.note("answer lost", f"{len(batch)} entries")
            raise Broken("the connection is gone")
        return appended

    def _check(self, batch: Sequence[Append]) -> None:
        limits = self._world.limits
        self._check_process()
        if len(batch) > limits.batch_commands_max:
            self._world.fail(f"a batch of {len(batch)} commands, more than Limits.batch_commands_max")
        if not batch:
            self._world.fail("an empty batch was appended")
        for entry in batch:
            if len(entry.events) > limits.command_events_max:
                self._world.fail(f"{len(entry.events)} events of one command, more than Limits.command_events_max")

    async def head(self) -> int:
        await self.read(self._world.faults.read_fails)
        return await self._world.events.head()

    async def names(self) -> Mapping[str, str]:
        # Asked once, just before the head, whose failure at opening is one of both.
        return await self._world.events.names()

    async def page(self, after: int, limit: int) -> Sequence[StoredEvent]:
        await self.read(self._world.faults.read_fails)
        page = await self._world.events.page(after, limit)
        await self.pause()
        return page

    async def stream_pages(self, after: Mapping[str, int], limit: int) -> Sequence[StoredEvent]:
        await self.read(self._world.faults.read_fails)
        return await self._world.events.stream_pages(after, limit)

    async def histories(
        self, after: Mapping[str, int], limit: int, snapshots: Mapping[str, str] | None = None
    ) -> Sequence[History]:
        await self.read(self._world.faults.read_fails)
        found = await self._world.events.histories(after, limit, snapshots)
        await self.pause()
        return found

    async def save_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        await self.pause()
        if self._world.happens(self._world.faults.append_refused):
            self._world.history.note("snapshots refused", f"{len(snapshots)} snapshots")
            raise self.unavailable()
        await self._world.events.save_snapshots(snapshots)
        await self.pause()

    async def find_commands(self, command_ids: Iterable[str]) -> Mapping[str, AlreadyRecorded]:
        await self.read(self._world.faults.read_fails)
        return await self._world.events.find_commands(command_ids)


class SimulatedViewStore(Disk):
    """The view store of one life of the process, which `life` names where there are several."""

    def __init__(self, world: World, life: str = "", now: Callable[[], datetime] = lambda: EPOCH) -> None:
        super().__init__(world)
        self._life = life
        self._now = now
        self._read: dict[object, list[tuple[str, int]]] = {}
        self.shared = world.views.shared

    def least_read(self) -> int | None:
        """The least checkpoint of the views that the current task has read in its last snapshot."""
        return min(self.read_last().values(), default=None)

    def read_last(self) -> dict[str, int]:
        """By projection, the checkpoint of the views that the current task has read in its last snapshot."""
        return dict(self._read.get(asyncio.current_task(), []))

    async def prepare(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        await self.read(self._world.faults.view_read_fails)
        return await self.at_server(lambda: self._world.prepare(tables))

    async def known(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        await self.read(self._world.faults.view_read_fails)
        return await self.at_server(lambda: at_once(self._world.views.known(tables)))

    async def claim(self, tables: Sequence[ViewTable], owner: str, lease_s: float) -> Mapping[ViewTable, Claim]:
        if not self.shared:
            return self._world.claim_views(tables, owner, lease_s, self._life)
        await self.read(self._world.faults.view_read_fails)
        claims = await self.at_server(lambda: self._world.claim_views(tables, owner, lease_s, self._life))
        # The answer may be late or lost, and the lease is granted all the same.
        await self.read(self._world.faults.view_answer_lost)
        return claims

    async def release(self, tables: Sequence[ViewTable], owner: str) -> None:
        if self.shared:
            await self.read(self._world.faults.view_read_fails)
        self._world.release_views(tables, owner)

    async def reindex(
        self, table: ViewTable, values_of: Callable[[bytes], tuple[IndexValue, ...]], views_max: int
    ) -> None:
        # Of no time: in a world there is one application, whose indexes never change.
        await self._world.views.reindex(table, values_of, views_max)

    async def load(self, table: ViewTable, keys: Sequence[str]) -> Mapping[str, bytes]:
        await self.read(self._world.faults.view_read_fails)
        return await self.at_server(lambda: at_once(self._world.views.load(table, keys)))

    async def build(self, table: ViewTable, since: datetime) -> None:
        await self.read(self._world.faults.view_read_fails)
        await self.at_server(lambda: self._world.build_views(table, since))
        # The answer may be lost; who asks again changes nothing.
        await self.read(self._world.faults.view_answer_lost)

    async def switch(self, table: ViewTable, epoch: int, over: ViewTable, since: datetime) -> bool:
        await self.read(self._world.faults.view_read_fails)
        done = await self.at_server(lambda: self._world.switch_views(table, epoch, over, since, self._life))
        self._heard("switch", table)
        return done

    async def drop(self, table: ViewTable) -> bool:
        await self.read(self._world.faults.view_read_fails)
        done = await self.at_server(lambda: self._world.drop_views(table, self._now()))
        self._heard("drop", table)
        return done

    def _heard(self, what: str, table: ViewTable) -> None:
        """The answer, unless it is lost."""
        if self._world.happens(self._world.faults.view_answer_lost):
            self._world.history.note(f"{what}'s answer lost", titled(table))
            raise Broken("the connection is gone")

    async def tell(self, table: ViewTable, standing: Standing) -> None:
        await self._world.views.tell(table, standing)

    async def builds(self) -> Sequence[Build]:
        await self.read(self._world.faults.view_read_fails)
        return await self.at_server(lambda: at_once(self._world.views.builds()))

    async def parked(self, table: ViewTable) -> Mapping[str, int]:
        found = await self._world.views.parked(table)
        if found:
            await self.read(self._world.faults.view_read_fails)
        return found

    async def letters(
        self, table: ViewTable, key: str | None = None, *, after: tuple[int, str] = (0, ""), limit: int
    ) -> Sequence[DeadLetter]:
        await self.read(self._world.faults.view_read_fails)
        return await self._world.views.letters(table, key, after=after, limit=limit)

    async def ask(self, request: Request) -> None:
        await self.read(self._world.faults.view_commit_refused)
        await self._world.views.ask(request)

    async def requests(self, *, is_open: bool, limit: int) -> Sequence[Request]:
        await self.read(self._world.faults.view_read_fails)
        return await self._world.views.requests(is_open=is_open, limit=limit)

    async def asked(self, request_id: str) -> Request | None:
        await self.read(self._world.faults.view_read_fails)
        return await self._world.views.asked(request_id)

    async def answer(self, request: Request) -> None:
        await self.read(self._world.faults.view_commit_refused)
        await self._world.views.answer(request)

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        world, faults = self._world, self._world.faults
        await self.pause()
        if world.happens(faults.view_commit_refused):
            world.history.note("views refused", table.projection)
            raise self.unavailable()
        if world.happens(faults.view_commit_lost):
            world.history.note("views not committed", table.projection)
            raise Broken("the connection is gone")
        if self.shared and world.happens(faults.view_commit_late):
            world.history.note("views late", table.projection)
            self.later(lambda: self._commit_late(table, changes), [0.0, 0.01, 0.3, LATEST_S])
            raise Broken("the connection is gone")
        done = await self.at_server(lambda: world.commit_views(table, changes, self._life))
        if done:
            world.projected()
        await self.pause()
        if world.happens(faults.view_answer_lost):
            world.history.note("views' answer lost", table.projection)
            raise Broken("the connection is gone")
        return done

    def _commit_late(self, table: ViewTable, changes: ViewChanges) -> None:
        # What has been dropped meanwhile is nobody's any more.
        with suppress(ViewsDropped):
            self._world.commit_views(table, changes, self._life)

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[ViewReader]:
        await self.read(self._world.faults.view_read_fails)
        read = self._read[asyncio.current_task()] = []
        async with self._world.views.snapshot() as reader:
            yield SlowReader(reader, self, read)


class SlowReader:
    """A snapshot whose reads take a while; what is committed meanwhile is not in it."""

    def __init__(self, reader: ViewReader, disk: Disk, read: list[tuple[str, int]]) -> None:
        self._reader = reader
        self._disk = disk
        self._read = read

    async def checkpoint(self, table: ViewTable) -> Checkpoint:
        await self._disk.pause()
        return await self._reader.checkpoint(table)

    async def letters(self, table: ViewTable, first: int, last: int) -> Sequence[DeadLetter]:
        await self._disk.pause()
        return await self._reader.letters(table, first, last)

    async def get(self, table: ViewTable, key: str) -> bytes | None:
        await self._begin(table)
        return await self._reader.get(table, key)

    async def find(
        self,
        table: ViewTable,
        where: Where,
        order_by: str | None,
        descending: bool,
        limit: int,
        *,
        after: Place | None = None,
    ) -> Sequence[tuple[str, bytes]]:
        await self._begin(table)
        return await self._reader.find(table, where, order_by, descending, limit, after=after)

    async def _begin(self, table: ViewTable) -> None:
        await self._disk.pause()
        self._read.append((table.projection, (await self._reader.checkpoint(table)).position))
