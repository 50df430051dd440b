"""Histories: the events that a test gives, as a store would give them back."""

from bus.core.messages import Event
from bus.core.schema import DECODE_ERRORS, Schema


def read_back(event: Event, schema: Schema, what: str) -> Event:
    """The event decoded from its encoding.

    Raises TypeError for one that is not among the schema's, and ValueError for one that no store can hold.
    """
    codec = schema.by_type.get(type(event))
    if codec is None:
        raise TypeError(f"{event!r} is none of the events of {what}: give only those that it declares")
    try:
        read = codec.decode(codec.encode(event))
    except (TypeError, OverflowError, *DECODE_ERRORS) as error:
        raise ValueError(f"{event!r} can never have been recorded: {error}") from error
    if read != event:
        raise ValueError(f"{event!r} can never have been recorded: it would be read back from the store as {read!r}")
    return read
