"""The rebuilding model: each table is held against its own version, and a build takes over by rules."""

from datetime import timedelta

import pytest

from bus.core.builds import ANSWERING, BUILDING, REPLACED, Build, State
from bus.core.stored import Checkpoint, ViewTable
from bus.testing.simulation.model import Model, Violated
from bus.testing.simulation.parking_model import ParkingModel
from bus.testing.simulation.rebuilding_model import BuildModels, check_drop, check_switch, held, titled
from bus.testing.simulation.world import EPOCH, view_model
from tests.bus.testing.simulation.test_model import stored
from tests.simulation.shop import RAISED_PARKING_SHOP, RAISED_SHOP

OLD, NEW, AGAIN = ViewTable("shelves", 1), ViewTable("shelves", 2), ViewTable("shelves", 2, (), 1)


def build(table: ViewTable, position: int, state: State) -> Build:
    return Build(table, Checkpoint(position), state, EPOCH)


def models() -> BuildModels:
    model = Model(RAISED_SHOP)
    model.record([stored(1, 1, "stocked", b'{"$type":"stocked","count":3}', "c1", stream="item-a")])
    return BuildModels(RAISED_SHOP, model.events, view_model)


def test_a_table_is_held_against_the_version_that_it_is_named_by() -> None:
    made = models()
    for table in (OLD, NEW, AGAIN):
        made.of(table).advance(1)
    assert made.of(OLD).rows == {"a": b'{"item":"a","left":3,"events":1}'}
    assert made.of(NEW).rows == made.of(AGAIN).rows == {"a": b'{"item":"a","left":3,"events":2}'}
    made.forget(NEW)
    assert (made.of(NEW).rows, made.of(AGAIN).position) == ({}, 1)
    assert [titled(table) for table in (NEW, AGAIN)] == ["'shelves' version 2", "'shelves' version 2 build 1"]


def test_what_was_parked_is_known_when_the_table_is_gone() -> None:
    made = BuildModels(RAISED_PARKING_SHOP, [], view_model)
    model = made.of(OLD)
    assert isinstance(model, ParkingModel)
    model.were_parked.add(("a", 7))
    model.letters["a"] = [7]
    assert made.letters(OLD) == {"a": [7]}
    assert made.was_parked("shelves", "a", 7)
    made.forget(OLD)
    assert made.letters(OLD) == {}
    assert made.was_parked("shelves", "a", 7)
    made.clear()
    assert not made.was_parked("shelves", "a", 8)


def test_what_answers_from_now_on_has_seen_what_was_answered_from() -> None:
    before = held([build(OLD, 5, ANSWERING), build(NEW, 5, BUILDING)])
    after = held([build(OLD, 5, REPLACED), build(NEW, 5, ANSWERING)])
    assert check_switch(before, after, NEW)
    assert not check_switch(after, after, NEW)
    assert not check_switch(before, before, NEW)
    behind = held([build(OLD, 5, REPLACED), build(NEW, 4, ANSWERING)])
    with pytest.raises(Violated, match="version 2 answers from 4 on in place of 'shelves' version 1, which is at 5"):
        check_switch(before, behind, NEW)
    both = held([build(OLD, 5, ANSWERING), build(NEW, 5, ANSWERING)])
    with pytest.raises(Violated, match="version 2 answers, and so does 'shelves' version 1"):
        check_switch(before, both, NEW)


def test_what_is_dropped_was_replaced_long_ago_or_somebody_has_asked_for_it() -> None:
    before = held([build(OLD, 5, REPLACED), build(NEW, 5, ANSWERING), build(AGAIN, 2, BUILDING)])
    late, soon = EPOCH + timedelta(seconds=10), EPOCH + timedelta(seconds=1)
    check_drop(before, OLD, late, 5.0, is_asked=False)
    check_drop(before, OLD, soon, 5.0, is_asked=True)
    check_drop(before, ViewTable("till", 1), soon, 5.0, is_asked=False)
    with pytest.raises(Violated, match="version 1 was dropped before its grace time"):
        check_drop(before, OLD, soon, 5.0, is_asked=False)
    with pytest.raises(Violated, match="version 2 was dropped, which answers"):
        check_drop(before, NEW, late, 5.0, is_asked=True)
    with pytest.raises(Violated, match="build 1 was dropped, although nobody has asked for it and it is building"):
        check_drop(before, AGAIN, late, 5.0, is_asked=False)


@pytest.mark.parametrize(
    ("builds", "rows", "why"),
    [
        ([build(OLD, 0, ANSWERING)], [], "the views of 'shelves' version 1 end at"),
        ([build(OLD, 1, ANSWERING)], [], "the views of 'shelves' version 1 are not what the events make"),
        ([build(OLD, 1, REPLACED)], [b'{"item":"a","left":3,"events":1}'], "not one answers, but .'replaced'."),
    ],
)
def test_at_the_end_one_build_answers_from_all_events(builds: list[Build], rows: list[bytes], why: str) -> None:
    with pytest.raises(Violated, match=why):
        models().check_end(builds, 1, lambda table: rows)
    models().check_end([build(OLD, 1, ANSWERING)], 1, lambda table: [b'{"item":"a","left":3,"events":1}'])
