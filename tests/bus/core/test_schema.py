"""The schema: stored names to types and back; what it cannot read it names exactly."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from bus import DefinitionError, Event, Recorded, Unreadable
from bus.core.schema import Schema
from bus.core.stored import StoredEvent


class Opened(Event, tag="opened"):
    by: str
    at: datetime | None = None


class Counted(Event, tag="counted"):
    count: int


class Picky(Event, tag="picky"):
    by: str

    def __post_init__(self) -> None:
        raise KeyError(self.by)


class AlsoCounted(Event, tag="counted"):
    count: int


NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def stored(name: str, payload: bytes, **more: Any) -> StoredEvent:
    return StoredEvent(7, "door-a-b", 3, name, payload, NOON, "the-id", b"", **more)


def test_an_event_is_read_as_it_was_written() -> None:
    schema = Schema([Opened, Counted, Opened])
    for event in (Opened("me", NOON), Counted(5)):
        codec = schema.by_type[type(event)]
        assert schema.decode(stored(codec.name, codec.encode(event))) == event


def test_a_stored_name_belongs_to_one_type() -> None:
    with pytest.raises(DefinitionError, match="Counted and AlsoCounted share the stored name 'counted': rename one"):
        Schema([Counted, AlsoCounted])


@pytest.mark.parametrize(
    ("name", "payload", "reason"),
    [
        ("closed", b"{}", "no event type of this application has that stored name"),
        ("counted", b"", "its payload does not decode"),
        ("counted", b"{}", "its payload does not decode: .*count"),
        ("counted", b'{"count": "5"}', "its payload does not decode: Expected `int`, got `str`"),
        ("counted", b'{"count": 5', "its payload does not decode"),
        ("counted", b'{"count": 1e999}', "its payload does not decode"),
        ("counted", b"\xff\xfe", "its payload does not decode"),
        ("opened", b'{"by": "\xff"}', "its payload does not decode"),
        ("opened", b'{"by": "x", "at": "2013-02-30T00:00:00Z"}', "its payload does not decode"),
        ("opened", b"[" * 100_000, "its payload does not decode"),
        ("counted", b'{"$type":"opened","count":5}', "its payload does not decode"),
        ("picky", b'{"by": "x"}', "its payload does not decode: KeyError: 'x'"),
    ],
)
def test_what_cannot_be_read_is_named_exactly(name: str, payload: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as caught:
        Schema([Opened, Counted, Picky]).decode(stored(name, payload))
    error = caught.value
    assert (error.stream, error.version, error.position, error.name) == ("door-a-b", 3, 7, name)
    assert "position 7 (stream 'door-a-b', version 3)" in str(error)


def test_a_field_that_a_later_release_wrote_is_ignored() -> None:
    assert Schema([Counted]).decode(stored("counted", b'{"count":5,"unit":"kg"}')) == Counted(5)


def test_a_recorded_event_knows_its_place() -> None:
    recorded = Schema([Counted]).recorded(stored("counted", b'{"count":5}', causation_id="c", traceparent="t"))
    assert recorded == Recorded(
        event=Counted(5),
        stream="door-a-b",
        stream_id="a-b",
        version=3,
        position=7,
        recorded_at=NOON,
        command_id="the-id",
        correlation_id="the-id",
        causation_id="c",
        traceparent="t",
    )
    assert msgspec.structs.replace(recorded, correlation_id="x").correlation_id == "x"
    assert Schema([Counted]).recorded(stored("counted", b'{"count":5}', correlation_id="c")).correlation_id == "c"
