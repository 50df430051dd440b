"""Schema: stored names to types and back, with strict decoding; what is old is read by its upcasters."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec

from bus.core import annotations
from bus.core.errors import DefinitionError, Unreadable, in_words
from bus.core.messages import TAG_FIELD, Event, Recorded
from bus.core.names import id_of, versioned
from bus.core.stored import StoredEvent
from bus.core.upcasting import Upcasting, chained, finals, missing, next_version

DECODE_ERRORS = (Exception,)
"""What decoding raises: errors of msgspec, and whatever else a user's `__post_init__` may think of."""

_encode = msgspec.json.Encoder().encode
_decode_plain = msgspec.json.Decoder(dict[str, Any]).decode


class UpcastFailed(ValueError):
    """What an old event became by its upcasters cannot be read."""


class EventCodec(msgspec.Struct, frozen=True):
    """How the events of one type are written and read."""

    name: str
    type: type[Event]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Event]


class Schema:
    """The event types of one application by stored name; raises `DefinitionError` where two share one."""

    def __init__(self, types: Iterable[type[Event]], upcasters: Iterable[Upcasting] = ()) -> None:
        by_name: dict[str, EventCodec] = {}
        for event in dict.fromkeys(types):
            name = annotations.tag_of(event)
            if name in by_name:
                first = by_name[name].type.__qualname__
                raise DefinitionError(f"{first} and {event.__qualname__} share the stored name {name!r}: rename one")
            by_name[name] = EventCodec(name, event, _encode, msgspec.json.Decoder(event).decode)
        self.by_name: Mapping[str, EventCodec] = by_name
        self.by_type: Mapping[type[Event], EventCodec] = {codec.type: codec for codec in by_name.values()}
        self.decoders = {name: codec.decode for name, codec in by_name.items()}
        """What recovery asks for ten thousand times in a row."""
        self.upcasters: Mapping[str, Upcasting] = chained(upcasters, by_name)
        """By the stored name that each begins at."""
        self.missing = missing(by_name, self.upcasters)
        """Stored names that nothing reads, although the types and upcasters say that there are or were such events."""

    def names_of(self, types: Collection[type[Event]]) -> frozenset[str]:
        """The stored names of events that are read as one of these types, the earlier versions included."""
        wanted = {self.by_type[event].name for event in types}
        return frozenset(wanted.union(old for old in self.upcasters if not wanted.isdisjoint(self._finals(old))))

    def _finals(self, name: str) -> frozenset[str]:
        return finals(name, self.upcasters)

    def is_readable(self, name: str) -> bool:
        """Whether events of that stored name can be read, as far as the name tells."""
        return name in self.by_name or name in self.upcasters

    def check_complete(self) -> None:
        """Raises `Unreadable` where upcasters are missing, by what the application itself says."""
        if self.missing:
            raise _lacking(self.missing)

    def check_stored(self, names: Mapping[str, str], categories: Collection[str]) -> None:
        """Raises `Unreadable` for names that a store holds and this application should read, and cannot.

        `names` has a category for each, that of a stream with such an event. It should read every version of what it
        knows, and whatever its own categories hold; what others record besides is not its business.
        """
        known = {versioned(name)[0] for name in (*self.by_name, *self.upcasters)}
        unread = [
            name
            for name, category in names.items()
            if not self.is_readable(name) and (versioned(name)[0] in known or category in categories)
        ]
        if unread:
            raise _lacking(tuple(sorted(unread)))

    def read(self, name: str, payload: bytes) -> tuple[Event, ...]:
        """The events that a stored one is read as: itself, or what its upcasters make of it.

        Raises one of `DECODE_ERRORS`, whatever it may be.
        """
        codec = self.by_name.get(name)
        if codec is not None:
            return (codec.decode(payload),)
        if name not in self.upcasters:
            raise KeyError(name)
        data = _decode_plain(payload)
        if data.pop(TAG_FIELD, name) != name:
            raise UpcastFailed("it carries another name in its payload")
        return tuple(self._climb(name, data))

    def _climb(self, name: str, data: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        ahead = [(name, data)]
        while ahead:
            name, data = ahead.pop()
            codec = self.by_name.get(name)
            if codec is not None:
                events.append(codec.decode(_written(name, data)))
                continue
            if name not in self.upcasters:
                raise UpcastFailed(f"nothing reads {name!r}, which it became")
            try:
                steps = self.upcasters[name].steps(data)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                raise UpcastFailed(f"its upcaster from {name!r} failed: {in_words(error)}") from error
            ahead += reversed(steps)
        return events

    def decode(self, stored: StoredEvent) -> tuple[Event, ...]:
        """The events that a stored one is read as; raises `Unreadable`."""
        if stored.fault is not None:
            raise _unreadable(stored, stored.fault)
        if not self.is_readable(stored.name):
            raise _unreadable(stored, "no event type of this application has that stored name")
        try:
            return self.read(stored.name, stored.payload)
        except UpcastFailed as error:
            raise _unreadable(stored, str(error)) from error
        except DECODE_ERRORS as error:
            why = str(error) if isinstance(error, msgspec.MsgspecError) else in_words(error)
            raise _unreadable(stored, f"its payload does not decode: {why}") from error

    def recorded(self, stored: StoredEvent) -> list[Recorded[Event]]:
        """The same with the stored one's place, which they share; raises `Unreadable`."""
        decode = self.decoders.get(stored.name)
        if decode is not None and stored.fault is None:
            # Nearly every event, without the way by its upcasters; what does not decode fails there again, with words.
            try:
                return [_placed(decode(stored.payload), stored)]
            except DECODE_ERRORS:
                pass
        return [_placed(event, stored) for event in self.decode(stored)]


def _placed(event: Event, stored: StoredEvent) -> Recorded[Event]:
    stream, command_id = stored.stream, stored.command_id
    return Recorded(
        event=event,
        stream=stream,
        stream_id=id_of(stream),
        version=stored.version,
        position=stored.position,
        recorded_at=stored.recorded_at,
        command_id=command_id,
        correlation_id=stored.correlation_id or command_id,
        causation_id=stored.causation_id,
        traceparent=stored.traceparent,
    )


def _written(name: str, data: dict[str, Any]) -> bytes:
    """Bytes by whose way plain data are read exactly as an event stored today would be."""
    try:
        return _encode({**data, TAG_FIELD: name})
    except DECODE_ERRORS as error:
        raise UpcastFailed(f"the data that it became cannot be encoded: {error}") from error


def _unreadable(stored: StoredEvent, reason: str) -> Unreadable:
    return Unreadable(
        f"event {stored.name!r} at position {stored.position} (stream {stored.stream!r}, version {stored.version}) "
        f"cannot be read: {reason}. The event is kept as it is; run code that knows it",
        stream=stored.stream,
        version=stored.version,
        position=stored.position,
        name=stored.name,
        missing=(),
    )


def _lacking(names: tuple[str, ...]) -> Unreadable:
    """The error for a bus that cannot be opened, since events of these names could not be read."""
    first = names[0]
    return Unreadable(
        f"nothing in this application reads the events stored as {', '.join(names)}. Give it what is missing, such as "
        f"Application(upcasters=[Upcaster({first!r}, to={next_version(first)!r}, up=...)]), "
        f"Drop({first!r}) where they are needed no more, or a type with that tag; or run the release that wrote them",
        stream="",
        version=0,
        position=0,
        name=first,
        missing=names,
    )
