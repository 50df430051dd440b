"""Names: of classes, streams and ids."""

from typing import Any

import pytest

from bus.core.names import (
    ID_BYTES_MAX,
    are_ids,
    category_of,
    id_fault,
    id_of,
    is_category,
    is_event_name,
    is_stored_name,
    kebab,
    stream_of,
    trace_id_of,
    versioned,
)


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("DepartFlight", "depart-flight"),
        ("HTTPCall", "http-call"),
        ("CallHTTP", "call-http"),
        ("Open", "open"),
        ("A", "a"),
        ("Leg2Departs", "leg2-departs"),
        ("Depart_Flight", "depart-flight"),
        ("_Private", "private"),
        ("snake_case", "snake-case"),
    ],
)
def test_a_class_name_becomes_words_joined_by_dashes(class_name: str, name: str) -> None:
    assert kebab(class_name) == name


@pytest.mark.parametrize("name", ["a", "flight-departed", "flight_departed", "v1.flight-departed", "a1-2", "x" * 100])
def test_a_stored_name(name: str) -> None:
    assert is_stored_name(name)


@pytest.mark.parametrize("name", ["", "A", "flight departed", "-a", "a-", "a--b", "1a", "é", "a\n", "a-\0", "x" * 101])
def test_no_stored_name(name: str) -> None:
    assert not is_stored_name(name)


@pytest.mark.parametrize(
    ("name", "base", "version"), [("a", "a", 1), ("a@2", "a", 2), ("v1.a-b@10", "v1.a-b", 10), ("a@9999", "a", 9999)]
)
def test_an_events_name_carries_its_version_from_the_second_on(name: str, base: str, version: int) -> None:
    assert is_event_name(name)
    assert versioned(name) == (base, version)


@pytest.mark.parametrize("name", ["a@", "a@0", "a@1", "a@02", "a@2@3", "@2", "A@2", "a@b", "a@10000", "a@2\n", None, 5])
def test_no_events_name(name: object) -> None:
    assert not is_event_name(name)


def test_a_category_has_no_dash_and_a_streams_name_comes_apart_again() -> None:
    assert is_category("Flight.v2_x")
    assert not any(is_category(name) for name in ("a-b", "", "1a", "a b", "x" * 101, "a\n"))
    stream = stream_of("flight", "UA-1545-2013")
    assert (category_of(stream), id_of(stream)) == ("flight", "UA-1545-2013")


@pytest.mark.parametrize("value", ["a", " ", "a-b", "é" * 100, "x" * ID_BYTES_MAX, "😀", "'; --", "\n"])
def test_an_id(value: str) -> None:
    assert id_fault(value) is None


@pytest.mark.parametrize("value", ["", "a\0b", "\ud800", "é" * 101, "x" * (ID_BYTES_MAX + 1)])
def test_one_that_is_no_id_is_found_among_many(value: str) -> None:
    assert are_ids(["a", "x" * ID_BYTES_MAX])
    assert are_ids([])
    assert not are_ids(["a", value, "b"])


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("", "empty"),
        ("a\0b", "a text with a NUL character"),
        ("\ud800", "a text that is not valid Unicode (a lone surrogate)"),
        ("é" * 101, "202 bytes long, more than 200"),
        (5, "of type int, not str"),
        (None, "of type NoneType, not str"),
        (b"a", "of type bytes, not str"),
    ],
)
def test_no_id(value: Any, fault: str) -> None:
    assert id_fault(value) == fault


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        (None, None),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"),
        ("nonsense", None),
        ("", None),
    ],
)
def test_the_trace_id_is_the_second_field(traceparent: str | None, trace_id: str | None) -> None:
    assert trace_id_of(traceparent) == trace_id
