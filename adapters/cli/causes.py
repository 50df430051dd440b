"""Causes: what led to a command and what it led to, found in the event store alone."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from bus import Application, DeadLetter, Projection
from bus.core.letters import letter_place
from bus.core.stored import AlreadyRecorded, StoredEvent, ViewTable

PAGE_EVENTS: Final = 2_000
ANCESTORS_MAX: Final = 1_000
"""Causes that are followed upwards; a longer line can only be a circle that something else has written."""


class Reading(Protocol):
    """What is asked of an event store."""

    async def page(self, after: int, limit: int, /) -> Sequence[StoredEvent]: ...

    async def stream_pages(self, after: Mapping[str, int], limit: int, /) -> Sequence[StoredEvent]: ...

    async def find_commands(self, command_ids: Sequence[str], /) -> Mapping[str, AlreadyRecorded]: ...


Letters: TypeAlias = Callable[[ViewTable, int], Awaitable[Sequence[DeadLetter]]]
"""Asks for the dead letters of a projection's version at one position."""


class Touched(msgspec.Struct, frozen=True):
    """A projection that takes an event."""

    projection: str
    keys: list[str] | None
    """Of the views; None where they are not known."""
    is_reached: bool | None
    """Whether it has come as far as the event; None where no views were looked at."""
    parked: list[str] = []
    """Ids of the dead letters that the event is there, whose keys do not show it."""


class Happened(msgspec.Struct, frozen=True):
    """One event."""

    position: int
    version: int
    name: str
    views: list[Touched]


class Cause(msgspec.Struct, kw_only=True):
    """A command that recorded something, and the commands that it caused."""

    command_id: str
    stream: str
    recorded_at: datetime
    correlation_id: str
    causation_id: str | None
    trace_id: str | None
    trace_url: str | None = None
    is_asked: bool = False
    """Whether it is what was asked for."""
    events: list[Happened]
    caused: list["Cause"] = []


class Looking:
    """Reads the store; `reached` has positions by projection and version, None where no views are known.

    `letters` is asked what is parked; None where nobody can say.
    """

    def __init__(
        self,
        store: Reading,
        application: Application,
        *,
        reached: Mapping[tuple[str, int], int] | None = None,
        letters: Letters | None = None,
        jaeger: str | None = None,
    ) -> None:
        self._store = store
        self._application = application
        self._reached = reached
        self._letters = letters
        self._jaeger = jaeger

    async def look(self, asked: str) -> list[Cause]:
        """The trees of which `asked` is a part, oldest first; none where nobody knows it.

        It is the id of a command, a conversation or a dead letter, a position, or `stream@version`. An ancestor is
        looked up by its id; for what was caused, everything after the first ancestor is read.
        """
        found = await self._commands(asked)
        if found:
            wanted = {event.command_id for event in found}
            first = await self._first_ancestor(found)
            return await self._trees(first[0].position - 1, {first[0].command_id}, wanted, None)
        return await self._trees(0, set(), set(), asked)

    async def _commands(self, asked: str) -> Sequence[StoredEvent]:
        """The events of the command that was asked for."""
        recorded = (await self._store.find_commands([asked])).get(asked)
        if recorded is not None:
            return recorded.events
        event: Sequence[StoredEvent] = ()
        stream, at, version = asked.rpartition("@")
        if asked.isdecimal() and 0 < int(asked) < 2**63:
            event = await self._store.page(int(asked) - 1, 1)
        elif at and version.isdecimal() and 0 < int(version) < 2**63:
            event = await self._store.stream_pages({stream: int(version) - 1}, 1)
        event = event or await self._of_letter(asked)
        if not event:
            return ()
        command_id = event[0].command_id
        return (await self._store.find_commands([command_id]))[command_id].events

    async def _of_letter(self, asked: str) -> Sequence[StoredEvent]:
        """The event that a dead letter is or was, if it can be: its key may long have been retried."""
        try:
            name, version, position, key = letter_place(asked)
        except ValueError:
            return ()
        event = await self._store.page(position - 1, 1) if position else ()
        if not event:
            return ()
        here = [one for one in self._application.projections if one.name == name]
        if any(key in (self._keys(event[0], one) or ()) for one in here):
            return event
        kept = await self._parked(ViewTable(name, version), position)
        return event if any(letter.key == key for letter in kept) else ()

    async def _parked(self, table: ViewTable, position: int) -> Sequence[DeadLetter]:
        return () if self._letters is None else await self._letters(table, position)

    async def _first_ancestor(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        for _ in range(ANCESTORS_MAX):
            cause = events[0].causation_id
            above = (await self._store.find_commands([cause])).get(cause) if cause is not None else None
            if above is None:
                break
            events = above.events
        return events

    async def _trees(self, after: int, known: set[str], wanted: set[str], conversation: str | None) -> list[Cause]:
        """Reads to the end, and takes what belongs to commands that are known, or that these caused."""
        causes: dict[str, Cause] = {}
        roots: list[Cause] = []
        while True:
            page = await self._store.page(after, PAGE_EVENTS)
            for stored in page:
                is_caused = stored.causation_id is not None and stored.causation_id in known
                is_said = conversation is not None and conversation in (stored.correlation_id, stored.causation_id)
                if not (stored.command_id in known or is_caused or is_said):
                    continue
                known.add(stored.command_id)
                cause = causes.get(stored.command_id)
                if cause is None:
                    cause = causes[stored.command_id] = self._cause(stored, is_asked=stored.command_id in wanted)
                    above = causes.get(stored.causation_id or "")
                    (roots if above is None else above.caused).append(cause)
                cause.events.append(await self._happened(stored))
            if len(page) < PAGE_EVENTS:
                return roots
            after = page[-1].position

    def _cause(self, stored: StoredEvent, *, is_asked: bool) -> Cause:
        parts = (stored.traceparent or "").split("-")
        trace_id = parts[1] if len(parts) > 1 else None
        return Cause(
            command_id=stored.command_id,
            stream=stored.stream,
            recorded_at=stored.recorded_at,
            correlation_id=stored.correlation_id or stored.command_id,
            causation_id=stored.causation_id,
            trace_id=trace_id,
            trace_url=None if self._jaeger is None or trace_id is None else f"{self._jaeger}/trace/{trace_id}",
            is_asked=is_asked,
            events=[],
        )

    async def _happened(self, stored: StoredEvent) -> Happened:
        touched: list[Touched] = []
        for projection in self._application.projections:
            if stored.name not in self._application.schema.names_of(projection.events):
                continue
            reached = None
            if self._reached is not None:
                reached = self._reached.get((projection.name, projection.version), 0) >= stored.position
            keys = self._keys(stored, projection)
            if keys != []:
                parked = await self._parked(ViewTable(projection.name, projection.version), stored.position)
                touched.append(Touched(projection.name, keys, reached, [letter.id for letter in parked]))
        return Happened(stored.position, stored.version, stored.name, touched)

    def _keys(self, stored: StoredEvent, projection: Projection[Any, Any]) -> list[str] | None:
        """As the projection says; it may be the very code that stumbles over the event."""
        try:
            found = [projection.key(recorded) for recorded in self._application.schema.recorded(stored)]
        except Exception:
            return None
        return [one for keys in found for one in ((keys,) if isinstance(keys, str) else keys)]
