"""What a store is asked falls into steps, each of which can be read off one index."""

import pytest

from bus.core.finding import Among, Interval, Place, Step, Where, holds, rank, steps

EWR = Among(("EWR",))


def test_without_a_place_there_is_one_step() -> None:
    assert steps({"origin": "EWR"}, None, False, None) == (Step({"origin": EWR}, None, None),)
    assert steps({"origin": "EWR"}, "at", True, None) == (Step({"origin": EWR}, "at", None),)
    assert steps({}, None, False, Place(None, "k")) == (Step({}, None, "k"),)


def test_after_a_place_come_its_equals_by_key_and_then_what_follows() -> None:
    place = Place(5, "k")
    equals = Step({"at": Among((5,))}, None, "k")
    assert steps({}, "at", False, place) == [equals, Step({"at": Interval(5, low_inside=False)}, "at", None)]
    assert steps({}, "at", True, place) == [
        equals,
        Step({"at": Interval(high=5, high_inside=False)}, "at", None),
        Step({"at": Among((None,))}, None, None),
    ]


def test_none_comes_first_and_last_when_descending() -> None:
    place = Place(None, "k")
    equals = Step({"at": Among((None,))}, None, "k")
    assert steps({}, "at", False, place) == [equals, Step({"at": Interval()}, "at", None)]
    assert steps({}, "at", True, place) == [equals]


@pytest.mark.parametrize(
    ("own", "then"),
    [
        (Among((1, 5, "x", None, 7)), Among(("x", 7))),
        (Interval(1), Interval(5, low_inside=False)),
        (Interval(5), Interval(5, low_inside=False)),
        (Interval(6), Interval(6)),
        (Interval(1, 9), Interval(5, 9, low_inside=False)),
        (Interval(None, "", high_inside=False), Interval(5, "", low_inside=False, high_inside=False)),
    ],
)
def test_a_condition_on_the_order_and_the_place_become_one(own: Among | Interval, then: Among | Interval) -> None:
    found = [step for step in steps({"at": own}, "at", False, Place(5, "k")) if step.after_key is None]
    assert [step.where["at"] for step in found] == [then]


def test_a_step_that_can_find_nothing_is_left_out() -> None:
    assert steps({"at": 5}, "at", False, Place(5, "k")) == [Step({"at": Among((5,))}, None, "k")]
    assert steps({"at": Among(())}, "at", False, None) == ()
    assert steps({"at": "a\0"}, None, False, None) == ()


def test_what_no_view_can_hold_is_not_looked_for() -> None:
    where: Where = {"at": Among((2**63, -(2**63) - 1, "\ud800", "\0", 2**63 - 1, 0.5, True, 1))}
    assert steps(where, None, False, None)[0].where == {"at": Among((2**63 - 1, 0.5, True))}


def test_numbers_compare_exactly_and_before_texts() -> None:
    assert rank(None) < rank(float("-inf")) < rank(2**62) < rank(2**62 + 1) < rank("")
    assert rank(2**62) == rank(2.0**62)
    assert holds(Interval(2**62, low_inside=False), 2**62 + 1)
    assert not holds(Interval(2.0**62, low_inside=False), 2**62)
    assert not holds(Interval(), None)
    assert holds(None, None)
    assert holds(1, 1.0)
