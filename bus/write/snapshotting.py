"""Snapshotting: keeps the states of aggregates that have come far enough, beside the turns and not in them."""

from collections.abc import Callable, Iterable
from typing import Any

import anyio.lowlevel
import msgspec

from bus.core.decider import Decider
from bus.core.errors import in_words
from bus.core.limits import Limits
from bus.core.messages import State
from bus.core.snapshots import SnapshotCodec
from bus.core.stored import Snapshot
from bus.ports import EventStore
from bus.runtime.log import log, told
from bus.runtime.reply import Reply
from bus.runtime.signal import Signal
from bus.write.directory import Actor


class Due(msgspec.Struct, frozen=True):
    """A state to be kept. States are frozen, so it stays what it is while its aggregate goes on."""

    codec: SnapshotCodec
    version: int
    state: State


class Snapshotting:
    """Writes one snapshot at a time for each aggregate; what fails is counted, and comes again after as many events."""

    def __init__(
        self,
        deciders: Iterable[Decider[Any, Any, Any]],
        store: EventStore,
        *,
        new_reply: Callable[[], Reply],
        limits: Limits,
    ) -> None:
        self._store = store
        self._new_reply = new_reply
        self._limits = limits
        self._due: dict[str, Due] = {}
        self._signal = Signal(new_reply)
        self._is_writing = False
        self._idle_waiters: list[Reply] = []
        self.is_wanted = any(decider.snapshot_codec is not None for decider in deciders)
        """Whether any decider of the application has a policy: without, nobody need look."""
        self.written = 0
        self.failures = 0
        self.last_error: str | None = None

    @property
    def busy(self) -> int:
        """Snapshots that are not yet written."""
        return len(self._due) + self._is_writing

    def look(self, actors: Iterable[Actor]) -> None:
        """Notes the states that are to be kept, of actors whose turn is settled."""
        due = self._due
        for actor in actors:
            codec, state = actor.decider.snapshot_codec, actor.state
            if codec is None or state is None or actor.version - actor.snapshot_version < codec.every_events:
                continue
            if len(due) < self._limits.snapshots_waiting_max or actor.stream in due:
                due[actor.stream] = Due(codec, actor.version, state)
                actor.snapshot_version = actor.version
        if due:
            self._signal.set()

    async def run(self) -> None:
        """Writes what is due, for ever."""
        while True:
            await self._signal.wait()
            try:
                self._is_writing = True
                while self._due:
                    await self._write(await self._encoded())
            finally:
                self._is_writing = False
                self._wake()

    async def _encoded(self) -> list[Snapshot]:
        encoded: list[Snapshot] = []
        while self._due and len(encoded) < self._limits.snapshot_batch_max:
            stream = next(iter(self._due))
            due = self._due.pop(stream)
            try:
                payload = due.codec.encode(due.state)
                if len(payload) > self._limits.snapshot_bytes_max:
                    raise ValueError(f"{len(payload)} bytes are more than Limits.snapshot_bytes_max")
                encoded.append(Snapshot(stream, due.version, due.codec.format, payload))
            except Exception as error:
                self._failed(1, stream, error)
            # A large state takes its time: the turns go on in between.
            await anyio.lowlevel.checkpoint()
        return encoded

    async def _write(self, snapshots: list[Snapshot]) -> None:
        if not snapshots:
            return
        try:
            await self._store.save_snapshots(snapshots)
        except Exception as error:
            self._failed(len(snapshots), snapshots[0].stream, error)
        else:
            self.written += len(snapshots)

    def _failed(self, snapshots: int, stream: str, error: Exception) -> None:
        self.failures += snapshots
        self.last_error = in_words(error)
        log.warning("snapshot failed", stream=stream, snapshots=snapshots, error=told(error))

    async def wait_idle(self) -> None:
        """Returns when nothing is due any more."""
        while self.busy:
            waiter = self._new_reply()
            self._idle_waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._idle_waiters:
                    self._idle_waiters.remove(waiter)

    def _wake(self) -> None:
        waiters, self._idle_waiters = self._idle_waiters, []
        for waiter in waiters:
            if not waiter.is_done:
                waiter.set_result(None)
