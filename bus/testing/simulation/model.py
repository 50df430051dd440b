"""Model: what the disk holds, folded by the user's pure functions alone; everything else is compared with it."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from bus.core.application import Application
from bus.core.decider import Decider
from bus.core.errors import Rejected
from bus.core.messages import REMOVED, Command, Event, Recorded, State, View
from bus.core.names import category_of
from bus.core.projection import Projection
from bus.core.stored import StoredEvent, ViewChanges

S = TypeVar("S", bound=State)
V = TypeVar("V", bound=View)


class Violated(Exception):
    """A promise was broken; the text says which and how."""


class Version(NamedTuple):
    """One version of a stream."""

    number: int
    position: int
    """Where its event stands; 0 for the beginning."""
    state: Any


class Decision(NamedTuple):
    """What the pure function says to a command on one state."""

    events: tuple[Event, ...]
    rejection: Rejected | None
    bug: Exception | None


class Model:
    """All events in order, the states and the views that they make, and which command made them."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._deciders: Mapping[str, Decider[Any, Any, Any]] = {one.category: one for one in application.deciders}
        self._versions: dict[str, list[Version]] = {}
        self.events: list[Recorded[Any]] = []
        self.by_command: dict[str, list[Recorded[Any]]] = {}
        self._views = {one.name: ViewModel(one, self.events) for one in application.view_projections}

    @property
    def head(self) -> int:
        """The last position."""
        return len(self.events)

    def record(self, stored: Sequence[StoredEvent]) -> list[Recorded[Any]]:
        """Takes in what was just committed; raises `Violated` where its places are not the next ones."""
        added: list[Recorded[Any]] = []
        for one in stored:
            # A world begins empty, so that nothing in it is older than the application and has to be upcast.
            (recorded,) = self._application.schema.recorded(one)
            if recorded.position != self.head + 1:
                raise Violated(f"position {recorded.position} follows {self.head}")
            versions = self.versions(recorded.stream)
            last = versions[-1]
            if recorded.version != last.number + 1:
                raise Violated(f"version {recorded.version} of {recorded.stream!r} follows {last.number}")
            earlier = self.by_command.setdefault(recorded.command_id, [])
            if earlier and (earlier[-1].position, earlier[-1].stream) != (recorded.position - 1, recorded.stream):
                raise Violated(f"command {recorded.command_id!r} is recorded twice, at {recorded.position} again")
            self.events.append(recorded)
            earlier.append(recorded)
            state = self.decider_of(recorded.stream).folded(last.state, [recorded.event])
            versions.append(Version(recorded.version, recorded.position, state))
            added.append(recorded)
        return added

    def decider_of(self, stream: str) -> Decider[Any, Any, Any]:
        """Whose stream it is."""
        return self._deciders[category_of(stream)]

    def stream_of(self, command: Command) -> str:
        """Where the command goes."""
        decider = self._application.decider_of[type(command)]
        return f"{decider.category}-{decider.identify(command)}"

    def versions(self, stream: str) -> list[Version]:
        """All versions of a stream so far, from 0 on."""
        found = self._versions.get(stream)
        if found is None:
            found = self._versions[stream] = [Version(0, 0, self.decider_of(stream).initial)]
        return found

    def between(self, stream: str, first: int, last: int) -> list[Version]:
        """The versions that a stream had while the store's last position went from `first` to `last`."""
        versions = self.versions(stream)
        start = bisect_right(versions, first, key=lambda version: version.position) - 1
        end = bisect_right(versions, last, key=lambda version: version.position)
        return versions[start:end]

    def states(self, decider: Decider[Any, S, Any]) -> dict[str, S]:
        """The state of each aggregate of a category, by its id."""
        prefix = f"{decider.category}-"
        return {
            stream.removeprefix(prefix): versions[-1].state
            for stream, versions in self._versions.items()
            if stream.startswith(prefix) and versions[-1].number
        }

    def views(self, projection: Projection[V, Any]) -> dict[str, V]:
        """The views that all events make, by key."""
        model = self._views[projection.name]
        model.advance(self.head)
        return model.views()

    def decide(self, command: Command, state: Any) -> Decision:
        """What the command's decider says on that state."""
        decider = self._application.decider_of[type(command)]
        try:
            return Decision(tuple(decider.decide(command, state)), None, None)
        except Rejected as rejection:
            return Decision((), rejection, None)
        except Exception as bug:
            return Decision((), None, bug)


class ViewModel:
    """The views of one projection as the first events make them."""

    def __init__(self, projection: Projection[Any, Any], events: Sequence[Recorded[Any]]) -> None:
        self.projection = projection
        self._events = events
        self._types = frozenset(projection.events)
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(projection.view).decode
        self.position = 0
        self.rows: dict[str, bytes] = {}

    def advance(self, position: int) -> set[str]:
        """Folds the events up to there; returns the keys that they touched. Going back starts anew."""
        if position < self.position:
            self.position, self.rows = 0, {}
        touched: set[str] = set()
        for recorded in self._events[self.position : position]:
            if type(recorded.event) in self._types:
                touched.update(self._project(recorded))
        self.position = position
        return touched

    def commit(self, changes: ViewChanges) -> set[str]:
        """Takes in what a projector committed; returns the keys whose views it concerns."""
        return self.advance(changes.checkpoint.position)

    def views(self) -> dict[str, Any]:
        """The views by key."""
        return {key: self._decode(row) for key, row in self.rows.items()}

    def _project(self, recorded: Recorded[Any]) -> tuple[str, ...]:
        keys = self._keys(recorded)
        for key in keys:
            self._project_one(recorded, key)
        return keys

    def _keys(self, recorded: Recorded[Any]) -> tuple[str, ...]:
        try:
            keys = self.projection.key(recorded)
        except Exception as error:
            raise self._raised(error, recorded) from error
        return (keys,) if isinstance(keys, str) else keys

    def _project_one(self, recorded: Recorded[Any], key: str) -> None:
        row = self.rows.get(key)
        try:
            after = self.projection.project(None if row is None else self._decode(row), recorded, key)
            if after is REMOVED:
                self.rows.pop(key, None)
            else:
                self.rows[key] = self._encode(after)
        except Exception as error:
            raise self._raised(error, recorded) from error

    def _raised(self, error: Exception, recorded: Recorded[Any]) -> Violated:
        return Violated(
            f"projection {self.projection.name!r} raised {error!r} at position {recorded.position}, {recorded.event!r}"
        )


NewViewModel = Callable[[Projection[Any, Any], Sequence[Recorded[Any]]], ViewModel]
"""What is held against the views of a projection."""
