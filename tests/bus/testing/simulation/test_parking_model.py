"""The parking model takes a projection's word for what failed, and for nothing else."""

import pytest

from bus.core.letters import DeadLetter
from bus.core.stored import Checkpoint, ViewChanges
from bus.testing.simulation.model import Model, Violated
from bus.testing.simulation.parking_model import ParkingModel
from tests.bus.testing.simulation.test_model import stored
from tests.contracts.letters import letter
from tests.simulation.shop import PARKING_SHOP

PLACES = (("a", 1), ("a", 2), ("b", 1), ("a", 3))


def made() -> ParkingModel:
    """Of a store with four events: one each of a, a, b and a."""
    model = Model(PARKING_SHOP)
    payload = b'{"$type":"stocked","count":1}'
    model.record(
        [
            stored(position, version, "stocked", payload, f"c{position}", stream=f"item-{item}")
            for position, (item, version) in enumerate(PLACES, 1)
        ]
    )
    return ParkingModel(PARKING_SHOP.view_projections[0], model.events)


def changes(
    before: int, after: int, parked: tuple[DeadLetter, ...] = (), unparked: tuple[tuple[str, int], ...] = ()
) -> ViewChanges:
    return ViewChanges(Checkpoint(before), Checkpoint(after), (), (), 0, parked, unparked)


def test_a_key_is_parked_from_its_failure_on_and_replayed_in_order() -> None:
    model = made()
    assert model.commit(changes(0, 3, (letter("a", 1, "a bug"), letter("a", 2)))) == {"a", "b"}
    assert (model.letters, sorted(model.rows)) == ({"a": [1, 2]}, ["b"])
    model.commit(changes(3, 4, (letter("a", 4),)))
    model.commit(changes(4, 4, (letter("a", 2, "a bug"),), (("a", 1), ("a", 2))))
    assert model.letters == {"a": [2, 4]}
    model.commit(changes(4, 4, (), (("a", 2), ("a", 4))))
    assert (model.letters, model.views()["a"].events) == ({}, 3)
    assert model.were_parked == {("a", 1), ("a", 2), ("a", 4)}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ([changes(0, 2, (letter("a", 1, "a bug"),))], "let the event at 2 through to 'a', whose event at 1 is parked"),
        ([changes(0, 1, (letter("a", 1),))], "parked the event at 1 for 'a' behind nothing"),
        ([changes(0, 1, (letter("b", 1, "a bug"),))], r"parked what is not its own or had been before: \[\('b', 1\)\]"),
        (
            [changes(0, 2, (letter("a", 1, "a bug"), letter("a", 2))), changes(2, 2, (), (("a", 2),))],
            r"took the letter at 2 of 'a', of which \[1, 2\] wait",
        ),
    ],
)
def test_what_does_not_follow_is_told(wrong: list[ViewChanges], why: str) -> None:
    model = made()
    for one in wrong[:-1]:
        model.commit(one)
    with pytest.raises(Violated, match=why):
        model.commit(wrong[-1])
