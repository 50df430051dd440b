"""Folding: applies a projection to a run of events, in memory, and finds the event that breaks it."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bus.core.errors import in_words
from bus.core.limits import Limits
from bus.core.messages import REMOVED, Event, Recorded, Removed, View
from bus.core.names import id_fault
from bus.core.projection import Projection
from bus.core.schema import DECODE_ERRORS
from bus.core.stored import StoredView, view_fault


class Poisoned(Exception):
    """The projection cannot process the event at `position` for these keys; the cause is what it raised.

    Without keys the event's keys are not known. Where it is not `found` yet, it may be an earlier one of a key.
    """

    def __init__(
        self, position: int, cause: BaseException, *keys: str, recorded: Recorded[Event] | None = None
    ) -> None:
        super().__init__(in_words(cause))
        self.position = position
        self.keys = keys
        self.recorded = recorded
        """The event itself, where it was met here."""
        self.is_found = True
        self.__cause__ = cause


class StaleShape(Exception):
    """A stored view is not of the projection's present type."""


class Touch(msgspec.Struct, frozen=True):
    """An event and the views that it touches."""

    recorded: Recorded[Event]
    keys: tuple[str, ...]


class Folded(msgspec.Struct, frozen=True):
    """What a run of events made of the views that it touched."""

    views: Mapping[str, View | None]
    put: tuple[StoredView, ...]
    removed: tuple[str, ...]

    def refused(self, error: ValueError, positions: Sequence[int]) -> Exception:
        """What a store cannot hold it never will: which of the events made it is found by halves."""
        if not positions:
            return error
        # What an upcaster splits shares a position.
        different = list(dict.fromkeys(positions))
        return Poisoned(different[len(different) // 2], error, *[view.key for view in self.put])


class Folding:
    """The projection's pure functions, called safely: whatever they do wrong is `Poisoned`."""

    def __init__(self, projection: Projection[Any, Any], limits: Limits) -> None:
        self._projection = projection
        self._limits = limits
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(projection.view).decode
        self._cache: OrderedDict[str, View | None] = OrderedDict()
        self._sound: set[tuple[str, ...]] = set()
        """Combinations of keys that were looked at before: the same ones tend to come again."""

    def touches(self, events: Sequence[Recorded[Event]]) -> list[Touch]:
        """The keys of each event that is the projection's business."""
        key_of, cache = self._projection.key, self._cache
        found: list[Touch] = []
        for recorded in events:
            try:
                keys = key_of(recorded)
                if isinstance(keys, str):
                    keys = (keys,)
                if keys != ():
                    try:
                        # Those of one key are known by its view, others by having been looked at.
                        sound = keys.__class__ is tuple and (
                            keys[0] in cache if len(keys) == 1 else keys in self._sound
                        )
                    except TypeError:
                        # Something in it that cannot be hashed is no key, as `_check` will say.
                        sound = False
                    if not sound:
                        self._check(keys)
                    found.append(Touch(recorded, keys))
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                raise Poisoned(recorded.position, error, recorded=recorded) from error
        return found

    def _check(self, keys: tuple[str, ...]) -> None:
        if not isinstance(keys, tuple):
            raise TypeError(f"key returned {keys!r}, which is neither a text nor a tuple of texts")
        if len(keys) > self._limits.event_keys_max:
            raise ValueError(f"key returned {len(keys)} keys, more than Limits.event_keys_max")
        for key in keys:
            fault = id_fault(key)
            if fault is not None:
                raise ValueError(f"key returned a key that is {fault}")
        if len(keys) > 1 and len(set(keys)) != len(keys):
            raise ValueError(f"key returned {keys!r}, in which a key occurs twice")
        if len(keys) > 1:
            if len(self._sound) >= self._limits.cached_views_max:
                self._sound.clear()
            self._sound.add(keys)

    def missing(self, touches: Sequence[Touch]) -> list[str]:
        """Keys whose views must be read from the store first."""
        cache = self._cache
        return list({key: None for touch in touches for key in touch.keys if key not in cache})

    def remember(self, keys: Sequence[str], payloads: Mapping[str, bytes]) -> None:
        """Takes views in as the store holds them; raises `StaleShape` for one that does not decode."""
        for key in keys:
            payload = payloads.get(key)
            try:
                self._cache[key] = None if payload is None else self._decode(payload)
            except DECODE_ERRORS as error:
                what = f"{self._projection.view.__name__} ({in_words(error)})"
                raise StaleShape(
                    f"the stored view of key {key!r} does not decode as {what}: "
                    "raise the projection's version when the view changes its shape"
                ) from error

    def fold(self, touches: Sequence[Touch]) -> Folded:
        """Folds the events into views that are all remembered; changes nothing that is remembered."""
        project = self._projection.project
        view_type = self._projection.view
        views: dict[str, View | None] = {}
        cache = self._cache
        for touch in touches:
            recorded = touch.recorded
            for key in touch.keys:
                before = views[key] if key in views else cache[key]
                try:
                    after: View | Removed = project(before, recorded, key)
                    if after is REMOVED:
                        views[key] = None
                    elif isinstance(after, view_type):
                        views[key] = after
                    else:
                        raise TypeError(
                            f"project returned {after!r}, which is neither a {view_type.__name__} nor REMOVED"
                        )
                except (KeyboardInterrupt, SystemExit):
                    raise
                except BaseException as error:
                    raise Poisoned(recorded.position, error, key, recorded=recorded) from error
        return self._stored(views, touches)

    def _stored(self, views: dict[str, View | None], touches: Sequence[Touch]) -> Folded:
        put: list[StoredView] = []
        removed: list[str] = []
        for key, view in views.items():
            if view is None:
                removed.append(key)
                continue
            try:
                payload = self._encode(view)
                # From here on the projection is given what a restart would give it.
                views[key] = self._decode(payload)
                if views[key] != view:
                    raise ValueError(f"{view!r} would be read back differently")
                stored = StoredView(key, payload, self._projection.index_values(view))
                if (fault := view_fault(stored)) is not None:
                    raise ValueError(f"{view!r} cannot be kept: an index is {fault}")
                put.append(stored)
            except Exception as error:
                raise _unstorable(key, touches, error) from error
        return Folded(views, tuple(put), tuple(removed))

    def commit(self, folded: Folded) -> None:
        """Remembers what is now in the store, and forgets what was not used for longest."""
        cache = self._cache
        for key, view in folded.views.items():
            cache[key] = view
            cache.move_to_end(key)
        while len(cache) > self._limits.cached_views_max:
            cache.popitem(last=False)

    def forget(self) -> None:
        """Reads everything from the store again: for when nobody knows what it holds."""
        self._cache.clear()


def _unstorable(key: str, touches: Sequence[Touch], error: Exception) -> Poisoned:
    """Which of its events made a view what cannot be kept is found by halves: whoever asks folds fewer of them next."""
    events = {touch.recorded.position: touch.recorded for touch in touches if key in touch.keys}
    position = list(events)[len(events) // 2]
    poison = Poisoned(position, error, key, recorded=events[position])
    poison.is_found = len(events) == 1
    return poison
