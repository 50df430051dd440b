"""The model: states, decisions and views as the pure functions make them, and places that must be the next ones."""

import pytest

from bus import Recorded
from bus.core.stored import StoredEvent
from bus.testing.simulation.model import Model, ViewModel, Violated
from bus.testing.simulation.world import EPOCH
from tests.simulation.shop import ITEM, SHELVES, SHOP, TILL, Check, Item, Sell, Shelf, SoldOut, Stock, Till


def stored(
    position: int, version: int, name: str, payload: bytes, command: str, *, stream: str = "item-a"
) -> StoredEvent:
    return StoredEvent(position, stream, version, name, payload, EPOCH, command, b"")


FIRST = stored(1, 1, "stocked", b'{"$type":"stocked","count":3}', "c1")
SECOND = stored(2, 2, "sold", b'{"$type":"sold","count":1,"left":2}', "c2")
THIRD = stored(3, 1, "stocked", b'{"$type":"stocked","count":5}', "c3", stream="item-b")


def model() -> Model:
    made = Model(SHOP)
    made.record([FIRST, SECOND, THIRD])
    return made


def test_states_follow_the_events() -> None:
    assert model().states(ITEM) == {"a": Item(2), "b": Item(5)}
    assert model().head == 3
    assert [version.state for version in model().versions("item-a")] == [Item(0), Item(3), Item(2)]


@pytest.mark.parametrize(
    ("first", "last", "numbers"), [(0, 0, [0]), (0, 1, [0, 1]), (1, 1, [1]), (1, 3, [1, 2]), (3, 3, [2])]
)
def test_the_versions_of_a_stretch_of_the_store_begin_with_the_one_it_had_before(
    first: int, last: int, numbers: list[int]
) -> None:
    assert [version.number for version in model().between("item-a", first, last)] == numbers


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (stored(5, 3, "stocked", FIRST.payload, "c9"), "position 5 follows 3"),
        (stored(4, 4, "stocked", FIRST.payload, "c9"), "version 4 of 'item-a' follows 2"),
        (stored(4, 3, "stocked", FIRST.payload, "c1"), "'c1' is recorded twice"),
        (stored(4, 3, "stocked", FIRST.payload, "c3"), "'c3' is recorded twice"),
    ],
)
def test_what_is_not_at_the_next_place_is_told(wrong: StoredEvent, what: str) -> None:
    with pytest.raises(Violated, match=what):
        model().record([wrong])


def test_a_decision_is_what_the_function_says() -> None:
    assert model().decide(Stock("a", 1), Item(1)).events != ()
    assert isinstance(model().decide(Sell("a", 9), Item(1)).rejection, SoldOut)
    assert model().decide(Check("a"), Item(1)) == ((), None, None)
    assert isinstance(model().decide(Sell("a", "many"), Item(1)).bug, TypeError)  # type: ignore[arg-type]


def test_views_are_those_of_all_events_or_of_the_first() -> None:
    whole = model()
    assert whole.views(SHELVES) == {"a": Shelf("a", 2, 2), "b": Shelf("b", 5, 1)}
    assert whole.views(TILL) == {"all": Till(1, 1), "a": Till(1, 1)}
    shelves = ViewModel(SHELVES, whole.events)
    assert shelves.advance(1) == {"a"}
    assert shelves.views() == {"a": Shelf("a", 3, 1)}
    assert shelves.advance(3) == {"a", "b"}
    assert shelves.advance(1) == {"a"}, "going back starts anew"
    assert shelves.views() == {"a": Shelf("a", 3, 1)}


def test_events_are_there_with_their_places() -> None:
    (first, second, _) = model().events
    assert isinstance(first, Recorded)
    assert (second.version, second.position, second.command_id) == (2, 2, "c2")
    assert list(model().by_command) == ["c1", "c2", "c3"]
