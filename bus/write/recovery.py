"""Recovery: loads cold actors from the store, many with one query, while the others work."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from bus.core.decider import Decider
from bus.core.errors import BusError, CommandFailed, StoreUnavailable, Unreadable
from bus.core.limits import Limits
from bus.core.messages import Event, State
from bus.core.schema import Schema
from bus.core.stored import StoredEvent
from bus.ports import EventStore
from bus.write.answers import in_words


class Found(msgspec.Struct):
    """What the store knows of one stream, folded as far as it was read."""

    decider: Decider[Any, Any, Any]
    state: State
    version: int = 0
    fault: BusError | None = None
    """Why it cannot be recovered."""


class Recovery:
    """Folds streams into states."""

    def __init__(self, store: EventStore, schema: Schema, limits: Limits) -> None:
        self._store = store
        self._schema = schema
        self._limits = limits
        self.recovered = 0

    async def load(self, streams: Mapping[str, Decider[Any, Any, Any]]) -> Mapping[str, Found]:
        """The recorded state of each stream; a fault in one is no fault of the others.

        Raises `StoreUnavailable` when the store could not be read.
        """
        found = {stream: Found(decider, decider.initial) for stream, decider in streams.items()}
        async for page in self._pages(found):
            for stream, events in _by_stream(page):
                self._fold(found[stream], stream, events)
        self.recovered += len(found)
        return found

    async def _pages(self, found: Mapping[str, Found]) -> AsyncIterator[Sequence[StoredEvent]]:
        limit = self._limits.recover_events_max
        after = dict.fromkeys(found, 0)
        while after:
            try:
                page = await self._store.stream_pages(after, limit)
            except StoreUnavailable:
                raise
            except Exception as error:
                raise StoreUnavailable(
                    f"{self._store.url} could not be read: {error!r}. Nothing was recorded; try again",
                    store=self._store.url,
                ) from error
            yield page
            if len(page) < limit:
                return
            # A stream's events come together: all but the last stream of a full page are complete.
            for event in page:
                after.pop(event.stream, None)
            after[page[-1].stream] = page[-1].version

    def _fold(self, found: Found, stream: str, stored: Sequence[StoredEvent]) -> None:
        if found.fault is not None:
            return
        try:
            decode = self._schema.decode
            events: list[Event] = [decode(event) for event in stored]
            state = found.decider.folded(found.state, events)
            if not isinstance(state, State):
                raise TypeError(f"evolve returned {state!r}, which is no State")
        except Unreadable as error:
            found.fault = error
        except Exception as error:
            found.fault = CommandFailed(
                f"{stream!r} could not be recovered: evolve raised {in_words(error)} on its recorded events. "
                "Nothing was recorded; this is a bug in the aggregate's code",
                command="",
                stream=stream,
            )
            found.fault.__cause__ = error
        else:
            found.state = state
            found.version = stored[-1].version


def _by_stream(page: Sequence[StoredEvent]) -> Iterable[tuple[str, Sequence[StoredEvent]]]:
    start = 0
    for index in range(1, len(page) + 1):
        if index == len(page) or page[index].stream != page[start].stream:
            yield page[start].stream, page[start:index]
            start = index
