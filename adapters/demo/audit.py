"""Audit: proves after the fact that a store is whole and that its views are what its events say.

It reads what is in the stores and folds it with the pure functions of the projections; nothing of the projectors or
of their cache has a part in it. What the views have not seen must be parked as dead letters, and nothing else may be.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from bus.core import Application, Projection, Recorded, Removed, View
from bus.core.builds import Build, answering
from bus.core.stored import StoredEvent, ViewTable, table_of
from bus.ports import EventStore, ViewReader, ViewStore

PAGE_EVENTS: Final = 2_000
FAULTS_MAX: Final = 20
"""Faults that are described; one is enough to fail, and a thousand lines tell no more."""


class Audit(msgspec.Struct, frozen=True):
    """What was found in a pair of stores."""

    events: int
    """Events counted, page by page."""
    by_event: Mapping[str, int]
    """The same by stored name."""
    views: int
    """Views compared."""
    views_match: bool
    """Whether each view in the store equals the fold of all events that are not parked for it, and no view is missing
    or too many."""
    letters: int
    """Events that are parked for a view."""
    lag_events: int
    """How many events the view furthest behind has not seen."""
    faults: tuple[str, ...]
    """What is wrong, in words: a gap in the events, a view that differs."""


async def audit(application: Application, event_store: EventStore, view_store: ViewStore) -> Audit:
    """Reads both stores from end to end; no bus may be using them. Keeps all views in memory meanwhile.

    Raises `Unreadable` for an event that the application does not know.
    """
    found = _Found(application)
    async with event_store, view_store:
        builds = await view_store.builds()
        tables = [_table(projection, builds) for projection in application.projections]
        await view_store.prepare(tables)
        for table in tables:
            await found.take_letters(table, view_store)
        while page := await event_store.page(found.last, PAGE_EVENTS):
            found.take(page)
        head = await event_store.head()
        if head != found.last:
            found.fault(f"{event_store.url} says that it ends at position {head}, but reading it ends at {found.last}")
        found.compare_letters()
        lag, views = 0, 0
        async with view_store.snapshot() as reader:
            for projection, table in zip(application.projections, tables, strict=True):
                lag = max(lag, found.last - (await reader.checkpoint(table)).position)
                views += await found.compare(projection, table, reader)
    return Audit(
        events=found.events,
        by_event=dict(found.by_event),
        views=views,
        views_match=found.views_match,
        letters=found.letters,
        lag_events=lag,
        faults=tuple(found.faults),
    )


class _Found:
    """What was read so far, and the views as the events make them."""

    def __init__(self, application: Application) -> None:
        self._recorded = application.schema.recorded
        self.events = 0
        self.last = 0
        self.by_event: Counter[str] = Counter()
        self.faults: list[str] = []
        self.views_match = True
        self._versions: dict[str, int] = {}
        self._views: dict[str, dict[str, View]] = {one.name: {} for one in application.projections}
        self._parked: set[tuple[str, int, str]] = set()
        """Projection, position and key of each letter."""
        self._met: set[tuple[str, int, str]] = set()
        """Those of them whose events have been taken."""
        self._waiting: set[tuple[str, str]] = set()
        """Their projections and keys."""
        self._projections: Sequence[Projection[Any, Any]] = application.projections

    def fault(self, description: str) -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(description)

    async def take_letters(self, table: ViewTable, view_store: ViewStore) -> None:
        """Notes what is parked, before any event is taken."""
        after = (0, "")
        while page := await view_store.letters(table, after=after, limit=PAGE_EVENTS):
            self._parked |= {(table.projection, letter.position, letter.key) for letter in page}
            after = page[-1].position, page[-1].key

    def take(self, page: Sequence[StoredEvent]) -> None:
        """Counts events, checks that none is missing, and folds them into every projection."""
        for stored in page:
            self.events += 1
            self.by_event[stored.name] += 1
            if stored.position != self.last + 1:
                self.fault(f"after position {self.last} comes {stored.position}")
            self.last = stored.position
            version = self._versions.get(stored.stream, 0)
            if stored.version != version + 1:
                self.fault(f"stream {stored.stream} goes from version {version} to {stored.version}")
            self._versions[stored.stream] = stored.version
            for recorded in self._recorded(stored):
                for projection in self._projections:
                    if type(recorded.event) in projection.events:
                        self._project(projection, recorded)

    def _project(self, projection: Projection[Any, Any], recorded: Recorded[Any]) -> None:
        views = self._views[projection.name]
        try:
            keys = projection.key(recorded)
            for key in (keys,) if isinstance(keys, str) else keys:
                if self._parked and self._is_parked(projection.name, recorded.position, key):
                    continue
                view = projection.project(views.get(key), recorded, key)
                if isinstance(view, Removed):
                    views.pop(key, None)
                else:
                    views[key] = view
        except Exception as error:
            # Where an event is missing the later ones may make no sense; the audit has to go on and say so.
            self._view_fault(f"{projection.name}: the event at position {recorded.position} cannot be folded: {error}")

    def _is_parked(self, projection: str, position: int, key: str) -> bool:
        place = (projection, position, key)
        if place in self._parked:
            self._met.add(place)
            self._waiting.add((projection, key))
            return True
        if (projection, key) in self._waiting:
            self._view_fault(f"{projection}: the event at position {position} of {key!r} overtook one that is parked")
        return False

    @property
    def letters(self) -> int:
        """How many events are parked for a view."""
        return len(self._parked)

    def compare_letters(self) -> None:
        """Looks whether each letter is that of an event, when all events have been taken."""
        for projection, position, key in sorted(self._parked - self._met):
            self._view_fault(f"{projection}: {key!r} has a letter of position {position}, and no event there")

    async def compare(self, projection: Projection[Any, Any], table: ViewTable, reader: ViewReader) -> int:
        """Compares all views of a projection with those in the store; returns how many there should be."""
        expected = self._views[projection.name]
        decode = msgspec.json.Decoder(projection.view).decode
        # Without an order they come by key; one more than expected would be found too.
        found = await reader.find(table, {}, None, False, len(expected) + 1)
        if len(found) != len(expected):
            few = "more" if len(found) > len(expected) else str(len(found))
            self._view_fault(f"{projection.name}: the store has {few} views, the events make {len(expected)}")
            return len(expected)
        for key, (held_key, payload) in zip(sorted(expected), found, strict=True):
            if (held_key, decode(payload)) != (key, expected[key]):
                self._view_fault(f"{projection.name}: the view {key!r} is not what the events say")
        return len(expected)

    def _view_fault(self, description: str) -> None:
        self.views_match = False
        self.fault(description)


def _table(projection: Projection[Any, Any], builds: Sequence[Build]) -> ViewTable:
    """Of the builds of the application's version the one that answers; where none does, the first."""
    table = table_of(projection)
    found = answering([one for one in builds if one.table.place[:2] == table.place[:2]])
    return table if found is None else msgspec.structs.replace(table, build=found.table.build)
