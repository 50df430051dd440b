"""Folding: applies a projection to a run of events, in memory, and finds the event that breaks it."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from bus.core.errors import in_words
from bus.core.limits import Limits
from bus.core.messages import REMOVED, Event, Recorded, Removed, View
from bus.core.names import are_ids, id_fault
from bus.core.projection import Projection
from bus.core.schema import DECODE_ERRORS
from bus.core.stored import StoredView, view_fault, views_fault


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
        self._encode = msgspec.json.Encoder()
        decoder = msgspec.json.Decoder(projection.view)
        self._decode, self._decode_lines = decoder.decode, decoder.decode_lines
        self._cache: dict[str, View | None] = {}
        """The least recently committed first."""
        self._sound: set[tuple[str, ...]] = set()
        """Combinations of keys that were looked at before: the same ones tend to come again."""
        self.latest: Folded | None = None
        """What was committed last, as long as what is remembered since then is only what it made of that."""

    def touches(self, events: Sequence[Recorded[Event]]) -> list[Touch]:
        """The keys of each event that is the projection's business."""
        key_of = self._projection.key
        keys: list[str | tuple[str, ...]] = []
        failure: BaseException | None = None
        try:
            for recorded in events:
                keys.append(key_of(recorded))  # noqa: PERF401  # Those before one that fails are wanted.
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            # If one before it has keys that are none, then that comes first.
            failure = error
        found = self._sound_touches(events, keys)
        if failure is not None:
            recorded = events[len(keys)]
            raise Poisoned(recorded.position, failure, recorded=recorded) from failure
        return found

    def _sound_touches(self, events: Sequence[Recorded[Event]], keys: Sequence[str | tuple[str, ...]]) -> list[Touch]:
        """The events with their keys, which may be fewer; raises `Poisoned` for the first that are none."""
        alone = [own for own in keys if isinstance(own, str)]
        # Those that are known by their views were looked at before.
        if len(alone) == len(keys) and are_ids(set(alone).difference(self._cache)):
            return list(map(Touch, events, zip(alone, strict=False)))
        found: list[Touch] = []
        for recorded, own in zip(events, keys, strict=False):
            try:
                several = (own,) if isinstance(own, str) else own
                if several != ():
                    self._check(several)
                    found.append(Touch(recorded, several))
            except Exception as error:
                raise Poisoned(recorded.position, error, recorded=recorded) from error
        return found

    def _check(self, keys: tuple[str, ...]) -> None:
        if not isinstance(keys, tuple):
            raise TypeError(f"key returned {keys!r}, which is neither a text nor a tuple of texts")
        try:
            # Those of one key are known by its view, others by having been looked at.
            if keys[0] in self._cache if len(keys) == 1 else keys in self._sound:
                return
        except TypeError:
            # Something in it that cannot be hashed is no key, as is told below.
            pass
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
        self._cache.update(self.read(keys, payloads))

    def read(self, keys: Sequence[str], payloads: Mapping[str, bytes]) -> dict[str, View | None]:
        """The views of these keys as the store holds them; raises `StaleShape` for one that does not decode."""
        views: dict[str, View | None] = dict.fromkeys(keys)
        try:
            views.update(zip(payloads, map(self._decode, payloads.values()), strict=True))
        except DECODE_ERRORS:
            for key, payload in payloads.items():
                self._read(key, payload)
            raise
        return views

    def _read(self, key: str, payload: bytes) -> View:
        try:
            view: View = self._decode(payload)
            return view
        except DECODE_ERRORS as error:
            what = f"{self._projection.view.__name__} ({in_words(error)})"
            raise StaleShape(
                f"the stored view of key {key!r} does not decode as {what}: "
                "raise the projection's version when the view changes its shape"
            ) from error

    def recall(
        self, touches: Sequence[Touch], staged: Mapping[str, View | None]
    ) -> tuple[dict[str, View | None], list[str]]:
        """The views before these events, where `staged` ones are committed first, and keys of those to be read."""
        views: dict[str, View | None] = {}
        cache = self._cache
        missing: list[str] = []
        for key in {key: None for touch in touches for key in touch.keys}:
            if key in staged:
                views[key] = staged[key]
            elif key in cache:
                views[key] = cache[key]
            else:
                missing.append(key)
        return views, missing

    def fold(self, touches: Sequence[Touch], before: Mapping[str, View | None] | None = None) -> Folded:
        """Folds the events into the views before them, by default those remembered; changes nothing that is."""
        project = self._projection.project
        view_type = self._projection.view
        if before is None:
            cache = self._cache
            before = {key: cache[key] for touch in touches for key in touch.keys}
        views: dict[str, View | None] = dict(before)
        for touch in touches:
            for key in touch.keys:
                try:
                    after: View | Removed = project(views[key], touch.recorded, key)
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
                    recorded = touch.recorded
                    raise Poisoned(recorded.position, error, key, recorded=recorded) from error
        return self._stored(views, touches)

    def _stored(self, views: dict[str, View | None], touches: Sequence[Touch]) -> Folded:
        kept = {key: view for key, view in views.items() if view is not None}
        removed = tuple([key for key, view in views.items() if view is None]) if len(kept) < len(views) else ()
        put = self._together(kept)
        if put is None:
            put = self._one_by_one(kept, touches)
        # From here on the projection is given what a restart would give it.
        views.update(kept)
        return Folded(views, put, removed)

    def _together(self, views: dict[str, View]) -> tuple[StoredView, ...] | None:
        """As they are stored, at half the price of one by one; None where that must tell what is wrong with one.

        In place of the given views it leaves what is read back.
        """
        made = list(views.values())
        try:
            # A line of JSON holds no line feed, except where a view quotes JSON that it was given.
            lines = self._encode.encode_lines(made)
            back = self._decode_lines(lines)
            payloads = lines.split(b"\n")
            if payloads.pop() or len(payloads) != len(made) or back != made:
                return None
            put = tuple(map(StoredView, views, payloads, self._projection.index_rows(made)))
        except Exception:
            return None
        if views_fault(put) is not None:
            return None
        views.update(zip(views, back, strict=True))
        return put

    def _one_by_one(self, views: dict[str, View], touches: Sequence[Touch]) -> tuple[StoredView, ...]:
        put: list[StoredView] = []
        for key, view in views.items():
            try:
                payload = self._encode.encode(view)
                views[key] = self._decode(payload)
                if views[key] != view:
                    raise ValueError(f"{view!r} would be read back differently")
                stored = StoredView(key, payload, self._projection.index_values(view))
                if (fault := view_fault(stored)) is not None:
                    raise ValueError(f"{view!r} cannot be kept: an index is {fault}")
                put.append(stored)
            except Exception as error:
                raise _unstorable(key, touches, error) from error
        return tuple(put)

    def commit(self, folded: Folded) -> None:
        """Remembers what is now in the store, and forgets what was not used for longest."""
        cache = self._cache
        if not cache.keys().isdisjoint(folded.views):
            for key in folded.views:
                cache.pop(key, None)
        cache.update(folded.views)
        excess = len(cache) - self._limits.cached_views_max
        if excess > 0:
            for key in list(islice(cache, excess)):
                del cache[key]
        self.latest = folded

    def forget(self) -> None:
        """Reads everything from the store again: for when nobody knows what it holds."""
        self._cache.clear()
        self.latest = None


def _unstorable(key: str, touches: Sequence[Touch], error: Exception) -> Poisoned:
    """Which of its events made a view what cannot be kept is found by halves: whoever asks folds fewer of them next."""
    events = {touch.recorded.position: touch.recorded for touch in touches if key in touch.keys}
    position = list(events)[len(events) // 2]
    poison = Poisoned(position, error, key, recorded=events[position])
    poison.is_found = len(events) == 1
    return poison
