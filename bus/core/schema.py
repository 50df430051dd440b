"""Schema: stored names to types and back, with strict decoding."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from bus.core import annotations
from bus.core.errors import DefinitionError, Unreadable, in_words
from bus.core.messages import Event, Recorded
from bus.core.names import id_of
from bus.core.stored import StoredEvent

DECODE_ERRORS = (Exception,)
"""What decoding raises: errors of msgspec, and whatever else a user's `__post_init__` may think of."""


class EventCodec(msgspec.Struct, frozen=True):
    """How the events of one type are written and read."""

    name: str
    type: type[Event]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Event]


class Schema:
    """The event types of one application by stored name; raises `DefinitionError` where two share one."""

    def __init__(self, types: Iterable[type[Event]]) -> None:
        encode = msgspec.json.Encoder().encode
        by_name: dict[str, EventCodec] = {}
        for event in dict.fromkeys(types):
            name = annotations.tag_of(event)
            if name in by_name:
                first = by_name[name].type.__qualname__
                raise DefinitionError(f"{first} and {event.__qualname__} share the stored name {name!r}: rename one")
            by_name[name] = EventCodec(name, event, encode, msgspec.json.Decoder(event).decode)
        self.by_name: Mapping[str, EventCodec] = by_name
        self.by_type: Mapping[type[Event], EventCodec] = {codec.type: codec for codec in by_name.values()}

    def decode(self, stored: StoredEvent) -> Event:
        """The event in its type; raises `Unreadable`."""
        codec = self.by_name.get(stored.name)
        if codec is None:
            raise _unreadable(stored, "no event type of this application has that stored name")
        try:
            return codec.decode(stored.payload)
        except DECODE_ERRORS as error:
            why = str(error) if isinstance(error, msgspec.MsgspecError) else in_words(error)
            raise _unreadable(stored, f"its payload does not decode: {why}") from error

    def recorded(self, stored: StoredEvent) -> Recorded[Event]:
        """The event with its place; raises `Unreadable`."""
        return Recorded(
            event=self.decode(stored),
            stream=stored.stream,
            stream_id=id_of(stored.stream),
            version=stored.version,
            position=stored.position,
            recorded_at=stored.recorded_at,
            command_id=stored.command_id,
            correlation_id=stored.correlation_id or stored.command_id,
            causation_id=stored.causation_id,
            traceparent=stored.traceparent,
        )


def _unreadable(stored: StoredEvent, reason: str) -> Unreadable:
    return Unreadable(
        f"event {stored.name!r} at position {stored.position} (stream {stored.stream!r}, version {stored.version}) "
        f"cannot be read: {reason}. The event is kept as it is; run code that knows it",
        stream=stored.stream,
        version=stored.version,
        position=stored.position,
        name=stored.name,
    )
