"""The schema: stored names to types and back; what it cannot read it names exactly."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from bus import DefinitionError, Drop, Event, Recorded, Split, Unreadable, Upcaster
from bus.core.schema import Schema
from bus.core.stored import StoredEvent
from tests.support.kinds import RICH, Rich


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
        assert schema.decode(stored(codec.name, codec.encode(event))) == (event,)


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
    assert Schema([Counted]).decode(stored("counted", b'{"count":5,"unit":"kg"}')) == (Counted(5),)


def test_a_recorded_event_knows_its_place() -> None:
    (recorded,) = Schema([Counted]).recorded(stored("counted", b'{"count":5}', causation_id="c", traceparent="t"))
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
    (recorded,) = Schema([Counted]).recorded(stored("counted", b'{"count":5}', correlation_id="c"))
    assert recorded.correlation_id == "c"


# What is old is read by its upcasters


class Sum(Event, tag="sum"):
    total: float


def test_what_passes_an_upcaster_unchanged_is_read_as_if_it_had_been_stored_today() -> None:
    schema = Schema([Rich], [Upcaster("rich", to="rich@2")])
    payload = schema.by_type[Rich].encode(RICH)
    old = payload.replace(b'"rich@2"', b'"rich"')
    assert schema.decode(stored("rich", old)) == schema.decode(stored("rich@2", payload)) == (RICH,)


def test_an_old_payload_may_lack_its_name() -> None:
    schema = Schema([Sum], [Upcaster("added", to="sum", up=lambda data: {"total": data["one"] + data["two"]})])
    assert schema.decode(stored("added", b'{"one":1,"two":2}')) == (Sum(3.0),)


def test_steps_follow_each_other_and_the_parts_of_a_split_keep_their_order() -> None:
    schema = Schema(
        [Sum, Counted],
        [
            Split("pair", to=("number", "none", "counted"), up=lambda data: data["parts"]),
            Split("number", to=("sum",), up=lambda data: [("sum", {"total": total}) for total in data["totals"]]),
            Drop("none"),
        ],
    )
    parts: list[tuple[str, dict[str, Any]]] = [
        ("number", {"totals": [1, 2]}),
        ("none", {}),
        ("counted", {"count": 3}),
        ("number", {"totals": []}),
        ("number", {"totals": [4]}),
    ]
    payload = msgspec.json.encode({"parts": parts})
    assert schema.decode(stored("pair", payload)) == (Sum(1), Sum(2), Counted(3), Sum(4))
    assert schema.recorded(stored("none", b"{}")) == []
    places = {(one.position, one.version, one.stream) for one in schema.recorded(stored("pair", payload))}
    assert places == {(7, 3, "door-a-b")}


def fails(data: dict[str, Any]) -> dict[str, Any]:
    raise GeneratorExit


@pytest.mark.parametrize(
    ("up", "payload", "reason"),
    [
        (lambda data: {"count": data["gone"]}, b"{}", "its upcaster from 'old' failed: KeyError: 'gone'"),
        (fails, b"{}", "its upcaster from 'old' failed: GeneratorExit"),
        (lambda data: None, b"{}", "its upcaster from 'old' failed: TypeError: it returned None"),
        (lambda data: {"count": object()}, b"{}", "cannot be encoded"),
        (lambda data: {"count": "\ud800"}, b"{}", "cannot be encoded"),
        (lambda data: {"count": 1.5}, b"{}", "its payload does not decode: Expected `int`, got `float`"),
        (lambda data: {"count": float("nan")}, b"{}", "its payload does not decode"),
        (lambda data: data, b"", "its payload does not decode"),
        (lambda data: data, b"[]", "its payload does not decode"),
        (lambda data: data, b"[" * 100_000, "its payload does not decode"),
        (lambda data: data, b'{"$type":"other"}', "another name"),
    ],
)
def test_what_an_upcaster_does_wrong_makes_the_event_unreadable(
    up: Callable[[dict[str, Any]], Any], payload: bytes, reason: str
) -> None:
    schema = Schema([Counted], [Upcaster("old", to="counted", up=up)])
    with pytest.raises(Unreadable, match=reason) as caught:
        schema.decode(stored("old", payload))
    assert (caught.value.position, caught.value.name, caught.value.missing) == (7, "old", ())


def test_a_split_makes_only_what_it_names() -> None:
    schema = Schema([Counted, Sum], [Split("old", to=("counted",), up=lambda data: [("sum", {"total": 1})])])
    with pytest.raises(Unreadable, match="it made 'sum', which is not among counted"):
        schema.decode(stored("old", b"{}"))


def test_a_step_to_a_name_that_nothing_reads_is_unreadable_too() -> None:
    with pytest.raises(Unreadable, match="nothing reads 'gone', which it became"):
        Schema([Counted], [Upcaster("old", to="gone")]).decode(stored("old", b"{}"))


def test_the_names_of_a_type_are_all_from_which_its_events_may_come() -> None:
    schema = Schema(
        [Counted, Sum],
        [Upcaster("old", to="counted"), Split("both", to=("old", "sum"), up=lambda data: []), Drop("gone")],
    )
    assert schema.names_of([Counted]) == {"counted", "old", "both"}
    assert schema.names_of([Sum]) == {"sum", "both"}
    assert schema.names_of([]) == frozenset()


def test_what_a_store_holds_is_refused_if_it_is_ours_and_nothing_reads_it() -> None:
    schema = Schema([Rich], [Drop("rich"), Drop("gone")])
    schema.check_complete()
    schema.check_stored({"rich": "door", "rich@2": "door", "gone": "door", "others": "window"}, {"door"})
    with pytest.raises(Unreadable, match="as gone@2, rich@3") as caught:
        schema.check_stored({"rich@3": "door", "gone@2": "window", "others@2": "window"}, {"door"})
    assert caught.value.missing == ("gone@2", "rich@3")
    with pytest.raises(Unreadable, match=r"Drop\('others'\)"):
        schema.check_stored({"others": "window"}, {"window"})
