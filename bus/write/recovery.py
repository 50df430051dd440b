"""Recovery: loads cold actors from the store, many with one query, while the others work."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from bus.core.decider import Decider
from bus.core.errors import BusError, CommandFailed, StoreUnavailable, Unreadable, in_words
from bus.core.limits import Limits
from bus.core.messages import Event, State
from bus.core.schema import DECODE_ERRORS, Schema
from bus.core.stored import History, Snapshot
from bus.ports import EventStore

E = TypeVar("E", bound=Event)
S = TypeVar("S", bound=State)
T = TypeVar("T")


class Found(msgspec.Struct):
    """What the store knows of one stream, folded as far as it was read."""

    decider: Decider[Any, Any, Any]
    state: State
    version: int = 0
    fault: BusError | None = None
    """Why it cannot be recovered."""
    snapshot_version: int = 0
    """The version of the snapshot that it was recovered from; 0 without one."""

    @property
    def has_snapshot(self) -> bool:
        return self.snapshot_version > 0


class Recovery:
    """Folds streams into states."""

    def __init__(self, store: EventStore, schema: Schema, limits: Limits) -> None:
        self._store = store
        self._schema = schema
        self._limits = limits
        self.recovered = 0
        self.snapshots_ignored = 0
        self.snapshot_error: str | None = None

    async def load(self, streams: Mapping[str, Decider[Any, Any, Any]]) -> Mapping[str, Found]:
        """The recorded state of each stream; a fault in one is no fault of the others.

        Raises `StoreUnavailable` when the store could not be read.
        """
        formats = {
            stream: decider.snapshot_codec.format
            for stream, decider in streams.items()
            if decider.snapshot_codec is not None
        }
        found = await self._load(streams, formats)
        # A snapshot is never trusted: what comes to nothing with it is tried without.
        doubtful = {stream: one.decider for stream, one in found.items() if one.fault is not None and one.has_snapshot}
        if doubtful:
            self.snapshots_ignored += len(doubtful)
            self.snapshot_error = str(next(iter([found[stream].fault for stream in doubtful])))
            found |= await self._load(doubtful, {})
        self.recovered += len(found)
        return found

    async def _load(
        self, streams: Mapping[str, Decider[Any, Any, Any]], formats: Mapping[str, str]
    ) -> dict[str, Found]:
        found = {stream: Found(decider, decider.initial) for stream, decider in streams.items()}
        limit = self._limits.recover_events_max
        after = dict.fromkeys(found, 0)
        while after:
            page = await self._read(self._store.histories(after, limit, formats))
            # All snapshots come with the first page.
            formats = {}
            for history in page:
                after[history.stream] = history.version
                await self._fold(found[history.stream], history)
            if sum([len(history.events) for history in page]) < limit:
                break
            # A stream's events come together: all but the last stream of a full page are complete.
            for history in [history for history in page if history.events][:-1]:
                del after[history.stream]
        return found

    async def _read(self, reading: Awaitable[Sequence[T]]) -> Sequence[T]:
        try:
            return await reading
        except StoreUnavailable:
            raise
        except Exception as error:
            raise StoreUnavailable(
                f"{self._store.url} could not be read: {error!r}. Nothing was recorded; try again",
                store=self._store.url,
            ) from error

    async def _fold(self, found: Found, history: History) -> None:
        if history.snapshot is not None:
            self._begin(found, history.snapshot)
        if found.fault is not None:
            return
        codecs, read = self._schema.by_name, self._schema.read
        try:
            if self._schema.upcasters:
                events = [event for name, payload in history.events for event in read(name, payload)]
            else:
                events = [codecs[name].decode(payload) for name, payload in history.events]
        except DECODE_ERRORS:
            found.fault = await self._unreadable(history)
            return
        state = recovered(found.decider, found.state, events, history.stream)
        if isinstance(state, CommandFailed):
            found.fault = state
            return
        found.state = state
        found.version = history.version

    def _begin(self, found: Found, snapshot: Snapshot) -> None:
        codec = found.decider.snapshot_codec
        assert codec is not None, "only snapshots that were asked for come back"
        try:
            found.state = codec.decode(snapshot.payload)
        except Exception as error:
            # Whatever the state's own class makes of the payload: it is a copy, and there are the events.
            found.fault = Unreadable(
                f"the snapshot of {snapshot.stream!r} at version {snapshot.version} does not decode: {in_words(error)}"
            )
        found.snapshot_version = snapshot.version

    async def _unreadable(self, history: History) -> BusError:
        """The first fault of a history, which itself does not tell the places of its events."""
        before = history.version - len(history.events)
        for stored in await self._read(self._store.stream_pages({history.stream: before}, len(history.events))):
            try:
                self._schema.decode(stored)
            except Unreadable as error:
                return error
        raise AssertionError(f"an event of {history.stream!r} could not be read and now can")


def recovered(decider: Decider[Any, S, E], state: S, events: Sequence[E], stream: str) -> S | CommandFailed:
    """The state after recorded events, or what whatever the aggregate's code raises on them makes of it."""
    try:
        state = decider.folded(state, events)
        if not isinstance(state, State):
            raise TypeError(f"evolve returned {state!r}, which is no State")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        failed = CommandFailed(
            f"{stream!r} could not be recovered: evolve raised {in_words(error)} on its recorded events. "
            "Nothing was recorded; this is a bug in the aggregate's code",
            command="",
            stream=stream,
        )
        failed.__cause__ = error
        return failed
    return state
