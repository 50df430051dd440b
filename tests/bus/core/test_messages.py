"""Messages: frozen, named on the wire, and free in the names of their fields."""

from typing import Any

import msgspec
import pytest

from bus import Command, Event, Query, Receipt, State, View
from bus.core.messages import TAG_FIELD


class DepartFlight(Command):
    flight_id: str
    type: str = "jet"
    tag: int = 0


class Renamed(Command, tag="depart"):
    flight_id: str


class Departed(Event, tag="departed"):
    type: str
    name: str = ""


class Board(State):
    open: bool = False


class Row(View):
    key: str


class GetRow(Query[Row]):
    key: str


@pytest.mark.parametrize(
    "message", [DepartFlight("a"), Departed("jet"), Board(), Row("a"), GetRow("a"), Receipt("1", "a-1", 1, 1)]
)
def test_messages_are_frozen(message: Any) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        setattr(message, message.__struct_fields__[0], "other")
    assert hash(message) == hash(msgspec.structs.replace(message))


def test_a_name_is_given_or_made_of_the_class() -> None:
    assert msgspec.json.encode(DepartFlight("a")) == b'{"$type":"depart-flight","flight_id":"a"}'
    assert msgspec.json.encode(Renamed("a")) == b'{"$type":"depart","flight_id":"a"}'
    assert msgspec.json.encode(GetRow("a")) == b'{"$type":"get-row","key":"a"}'


def test_fields_may_be_called_like_the_bus_calls_its_own() -> None:
    command = DepartFlight("a", "prop", 3)
    assert msgspec.json.decode(msgspec.json.encode(command), type=DepartFlight) == command
    assert TAG_FIELD not in DepartFlight.__struct_fields__


def test_a_commands_defaults_are_left_out_and_an_events_are_written() -> None:
    assert b"jet" not in msgspec.json.encode(DepartFlight("a", "jet"))
    assert msgspec.json.encode(Departed("jet")) == b'{"$type":"departed","type":"jet","name":""}'


def test_a_payload_of_another_message_does_not_decode() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"$type":"arrived","type":"jet"}', type=Departed)
    assert msgspec.json.decode(b'{"type":"jet"}', type=Departed) == Departed("jet")
