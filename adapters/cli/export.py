"""Export: writes recorded events as NDJSON, also beside a bus that is writing."""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, BinaryIO

import anyio
import msgspec
from cyclopts import Parameter, validators

from adapters.cli.failures import Failure, Refused
from adapters.cli.stores import event_store
from bus.core.stored import StoredEvent

PAGE_EVENTS = 2_000
POSITION_MAX = 2**63 - 1
"""No store counts further."""


class Line(msgspec.Struct, frozen=True):
    """One recorded event, as it is written."""

    position: int
    stream: str
    version: int
    name: str
    """The stored name."""
    recorded_at: datetime
    command_id: str
    correlation_id: str
    causation_id: str | None
    traceparent: str | None
    event: msgspec.Raw
    """As it is stored, unchanged: no application is needed to read it."""


def export(
    *,
    store: str,
    stream: str | None = None,
    after: Annotated[int, Parameter(validator=validators.Number(gte=0, lte=POSITION_MAX))] = 0,
) -> None:
    """Write recorded events as NDJSON to standard output, in order; the store may be in use meanwhile.

    Parameters
    ----------
    store
        The event store, such as sqlite:///flights.db.
    stream
        Only the events of this stream, such as flight-UA-1545-2013-01-01-EWR.
    after
        Only the events that follow this position; with --stream, that follow this version of it.
    """
    if store == "memory:":
        raise Refused("memory: holds nothing when the program starts; name a store that is kept")
    anyio.run(write_events, store, stream, after, sys.stdout.buffer)


async def write_events(store: str, stream: str | None, after: int, out: BinaryIO) -> None:
    """Writes the events up to the end of the store, page by page."""
    encode = msgspec.json.Encoder().encode
    async with event_store(store, read_only=True) as opened:
        while True:
            page: Sequence[StoredEvent] = (
                await opened.page(after, PAGE_EVENTS)
                if stream is None
                else await opened.stream_pages({stream: after}, PAGE_EVENTS)
            )
            if page:
                after = page[-1].position if stream is None else page[-1].version
                out.write(b"".join([encode(_line(stored)) + b"\n" for stored in page]))
                out.flush()
            if len(page) < PAGE_EVENTS:
                return


def _line(stored: StoredEvent) -> Line:
    """Raises `Failure` for an event that would not make a line of JSON, or is not what was recorded."""
    if stored.fault is not None:
        raise _unwritable(stored, stored.fault)
    return Line(
        position=stored.position,
        stream=stored.stream,
        version=stored.version,
        name=stored.name,
        recorded_at=stored.recorded_at,
        command_id=stored.command_id,
        correlation_id=stored.correlation_id or stored.command_id,
        causation_id=stored.causation_id,
        traceparent=stored.traceparent,
        event=_written(stored),
    )


def _written(stored: StoredEvent) -> msgspec.Raw:
    try:
        raw = _checked(stored.payload)
        stored.payload.decode()
        # What the bus writes has no line ends; they would break the line in two.
        return raw if b"\n" not in stored.payload else msgspec.Raw(msgspec.json.format(stored.payload, indent=-1))
    except (ValueError, RecursionError) as error:
        raise _unwritable(stored, f"it holds no JSON ({error})") from error


def _unwritable(stored: StoredEvent, why: str) -> Failure:
    return Failure(
        f"the event at position {stored.position} (stream {stored.stream!r}, version {stored.version}) was changed by "
        f"something else: {why}. What came before it is written; go on with --after {stored.position}"
    )


_checked = msgspec.json.Decoder(msgspec.Raw).decode
