"""Any line gives an order or a refusal that says what to do, and no typing error passes."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.cli.wire import Order, Refusal, Wire, too_long
from adapters.demo import TRAFFIC
from bus import Application, Command, Decider, Event, State
from domain.flight import DepartFlight, FlightId, ScheduleFlight


class Label(Command):
    """A command whose fields are called like parts of the envelope."""

    id: str
    type: str
    timeout: int = 0


class Strict(Command, forbid_unknown_fields=True, rename="camel"):
    item_id: str
    items: tuple[int, ...] = ()


class Picky(Command):
    id: str

    def __post_init__(self) -> None:
        if self.id == "value":
            raise ValueError("no such value")
        if self.id == "key":
            raise KeyError("no such key")


class Labelled(Event, tag="labelled"): ...


class Labels(State): ...


def decide(command: Label | Strict | Picky, state: Labels) -> Sequence[Labelled]:
    return []


def evolve(state: Labels, event: Labelled) -> Labels:
    return state


def identify(command: Label | Strict | Picky) -> str:
    return command.item_id if isinstance(command, Strict) else command.id


LABELS = Decider(category="label", initial=Labels(), identify=identify, decide=decide, evolve=evolve)

FLIGHTS = Wire(TRAFFIC)
WIRE = Wire(Application(deciders=[LABELS]))
DEPART = {"type": "depart-flight", "flight_id": "x", "at": "2013-01-01T10:17:00Z"}
DEPARTED = DepartFlight(flight_id=FlightId("x"), at=datetime(2013, 1, 1, 10, 17, tzinfo=UTC))


def read(line: str | bytes | dict[str, Any], wire: Wire = FLIGHTS) -> Order | Refusal:
    if isinstance(line, dict):
        line = json.dumps(line)
    return wire.read(line.encode() if isinstance(line, str) else line)


def refusal(line: str | bytes | dict[str, Any], wire: Wire = FLIGHTS) -> Refusal:
    found = read(line, wire)
    assert isinstance(found, Refusal), found
    return found


def test_a_line_is_a_command() -> None:
    assert read(DEPART) == Order(DEPARTED)
    assert read(json.dumps(DEPART) + "\r") == Order(DEPARTED)


def test_every_command_of_the_application_is_read_as_it_is_written() -> None:
    at = datetime(2013, 1, 1, 10, 15, tzinfo=UTC)
    fields = {"flight_id": "x", "carrier": "UA", "number": 1, "origin": "EWR", "destination": "IAH", "aircraft": None}
    command = msgspec.convert({**fields, "departs_at": at, "arrives_at": at}, ScheduleFlight)
    assert read(msgspec.json.encode(command)) == Order(command)


@pytest.mark.parametrize("sign", ["", "$"])
def test_the_envelope_is_known_with_and_without_its_sign(sign: str) -> None:
    ids = {"command_id": "one", "correlation_id": "talk", "causation_id": "before"}
    envelope = {**ids, "expected_version": 3, "timeout": 1.5}
    assert read({**DEPART, **{f"{sign}{name}": value for name, value in envelope.items()}}) == Order(
        DEPARTED, "one", 3, "talk", "before", 1.5
    )
    assert read({**DEPART, **{f"{sign}{name}": None for name in envelope}}) == Order(DEPARTED)
    assert read({**DEPART, f"{sign}timeout": 2}) == Order(DEPARTED, timeout=2.0)


def test_a_bare_key_belongs_to_the_command_that_has_such_a_field() -> None:
    line = {"$type": "label", "type": "red", "id": "1", "timeout": 7, "$timeout": 2, "command_id": "one"}
    assert read(line, WIRE) == Order(Label(id="1", type="red", timeout=7), "one", timeout=2.0)
    assert read({"$type": "label", "type": "red", "id": "1"}, WIRE) == Order(Label(id="1", type="red"))


def test_a_type_that_may_be_the_commands_own_is_not_guessed() -> None:
    assert "send its name as '$type'" in refusal({"type": "label", "id": "1"}, WIRE).message


def test_a_command_that_forbids_unknown_fields_is_read_with_its_envelope() -> None:
    line = {"type": "strict", "itemId": "1", "items": [1, 2], "$command_id": "one"}
    assert read(line, WIRE) == Order(Strict(item_id="1", items=(1, 2)), "one")
    assert refusal({"type": "strict", "item_id": "1"}, WIRE).facts == {"command": "strict", "fields": ["item_id"]}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"att": 1}, "no field 'att'; its fields are at, flight_id"),
        ({"$comand_id": "x"}, "no field '$comand_id'"),
        ({"at": "2013-01-01T10:17:00"}, "timezone"),
        ({"at": 5}, "Expected `datetime`, got `int`"),
        ({"flight_id": 5}, "Expected `str`, got `int` - at `$.flight_id`"),
        ({"expected_version": -1}, "Expected `int` >= 0 - at `$.expected_version`"),
        ({"expected_version": "1"}, "$.expected_version"),
        ({"expected_version": 2**63}, "$.expected_version"),
        ({"timeout": 0}, "$.timeout"),
        ({"$timeout": "1"}, "$.$timeout"),
        ({"command_id": 7}, "$.command_id"),
        ({"$type": "depart-flight"}, "both 'type' and '$type'"),
        ({"command_id": "x", "$command_id": "x"}, "both 'command_id' and '$command_id'"),
        ({"flight_id": 2**70}, "Expected `str`, got"),
        ({"timeout": 10**400}, "$.timeout"),
    ],
)
def test_a_command_that_is_wrong_is_invalid(change: dict[str, Any], expected: str) -> None:
    found = refusal(DEPART | change)
    assert found.code == "invalid-command"
    assert found.facts["command"] == "depart-flight"
    assert expected in found.message


@pytest.mark.parametrize(("value", "expected"), [("value", "no such value"), ("key", "KeyError: 'no such key'")])
def test_a_command_may_refuse_its_own_values(value: str, expected: str) -> None:
    found = refusal({"type": "picky", "id": value}, WIRE)
    assert found.code == "invalid-command"
    assert expected in found.message


def test_a_command_that_nobody_takes_is_unknown() -> None:
    found = refusal({**DEPART, "type": "depart"})
    assert (found.code, found.facts) == ("unknown-command", {"command": "depart"})
    assert "takes cancel-flight, depart-flight" in found.message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"nul", "Input data was truncated"),
        (b'{"type":"depart-flight"', "truncated"),
        (b'{"type":"depart-flight"} {}', "trailing characters"),
        (b"[]", "Expected `object`, got `array`"),
        (b'"depart-flight"', "Expected `object`, got `str`"),
        (b"{}", "it has no type"),
        (b'{"type":null}', "Expected `str`, got `null`"),
        (b'{"type":"depart-flight","flight_id":"\xff","at":"2013-01-01T10:17:00Z"}', "not valid UTF-8 (byte 37)"),
        (b'{"type":"depart-flight","\xff":1}', "not valid UTF-8 (byte 25)"),
        (b'{"type":"depart-flight","flight_id":"a\x00"}', "invalid character"),
        (b'{"type":"depart-flight","flight_id":"\\ud800"}', "half a surrogate pair"),
        (b'{"type":"depart-flight","flight_id":"\\ud800 and then more"}', "half a surrogate pair"),
        (b'{"type":"depart-flight","flight_id":"\\udc00 and then more"}', "half a surrogate pair"),
        (b'{"type":"depart-flight","x":' + b"[" * 100_000, "nested too deeply"),
        (b'{"type":"depart-flight","flight_id":"x","flight_id":"y"}', "the key 'flight_id' twice"),
        (b'{"type":"depart-flight","type":"x"}', "the key 'type' twice"),
        (b'{"type":"depart-flight","fl\\u0069ght_id":"x","flight_id":"y"}', "the key 'flight_id' twice"),
        (b'{"type":"x","":{"a":1,"a":2},"":3}', "the key '' twice"),
        (b"\xef\xbb\xbf{}", "invalid character"),
    ],
)
def test_a_line_that_is_no_object_of_json_is_malformed(line: bytes, expected: str) -> None:
    found = refusal(line)
    assert found.code == "malformed-line"
    assert expected in found.message


def test_quotation_marks_in_keys_and_values_are_no_repeated_keys() -> None:
    assert read({**DEPART, "flight_id": 'a"b"', "command_id": '"'}) == Order(
        DepartFlight(flight_id=FlightId('a"b"'), at=DEPARTED.at), '"'
    )
    assert refusal({**DEPART, 'a"b': 1}).facts == {"command": "depart-flight", "fields": ['a"b']}


def test_a_refusal_is_short_however_long_the_line() -> None:
    long = "x" * 100_000
    for line in (
        {**DEPART, long: 1},
        {"type": long},
        {"type": "picky", "id": "1", **{f"{n}": 1 for n in range(9_999)}},
    ):
        assert len(json.dumps(msgspec.to_builtins(refusal(line)))) < 2_000
        assert len(json.dumps(msgspec.to_builtins(refusal(line, WIRE)))) < 2_000


def test_a_line_that_is_too_long_is_refused_with_the_limit() -> None:
    assert too_long(9).code == "line-too-long"
    assert too_long(9).facts == {"bytes_max": 9}


KEYS = st.sampled_from(
    ["type", "$type", "command_id", "flight_id", "at", "timeout", "expected_version", "id", "\ud800"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["depart-flight", DEPART["at"]]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.binary(max_size=80))
@example(b'{"type":"depart-flight","flight_id":"\\ud83d')
def test_any_bytes_give_an_answer(line: bytes) -> None:
    assert isinstance(read(line), Refusal)


@given(st.dictionaries(KEYS | st.text(max_size=4), VALUES, max_size=6), st.integers(0, 500), st.binary(max_size=2))
def test_any_object_and_any_damage_to_it_gives_an_answer(line: dict[str, Any], place: int, damage: bytes) -> None:
    text = json.dumps({**DEPART, **line}).encode()
    for wire in (FLIGHTS, WIRE):
        assert isinstance(wire.read(text), Order | Refusal)
        assert isinstance(wire.read(text[:place] + damage + text[place + 1 :]), Order | Refusal)
