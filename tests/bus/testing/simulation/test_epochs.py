"""Epochs: a lease has one holder at a time, who alone writes, and under no number twice."""

import math

import pytest

from bus.core.stored import Checkpoint, Claim, table_of
from bus.testing.simulation.epochs import Epochs
from bus.testing.simulation.model import Violated
from tests.simulation.shop import SHELVES, TILL

TABLE = table_of(SHELVES)


def claim(owner: str, epoch: int) -> Claim:
    return Claim(owner, epoch, Checkpoint())


def held() -> Epochs:
    """Of A's process, in the second epoch, until 10."""
    epochs = Epochs()
    assert epochs.claimed(TABLE, claim("of b", 1), "B", 1.0, 0.0)
    assert epochs.claimed(TABLE, claim("of a", 2), "A", 10.0, 2.0)
    return epochs


def test_who_holds_a_lease_renews_it_and_writes() -> None:
    epochs = held()
    assert not epochs.claimed(TABLE, claim("of a", 2), "A", 15.0, 5.0)
    epochs.committed(TABLE, 2, "A")
    assert epochs.owner(TABLE) == "of a"
    assert epochs.holders([TABLE, table_of(TILL)]) == {"shelves": "A"}


def test_who_asks_for_what_another_holds_changes_nothing() -> None:
    epochs = held()
    assert not epochs.claimed(TABLE, claim("of a", 2), "B", None, 3.0)
    epochs.committed(TABLE, 2, "A")


@pytest.mark.parametrize(("epoch", "life"), [(1, "B"), (2, "B"), (1, "A"), (3, "A")])
def test_nobody_writes_but_the_holder_in_the_epoch_of_the_lease(epoch: int, life: str) -> None:
    with pytest.raises(Violated, match="although A holds them in epoch 2"):
        held().committed(TABLE, epoch, life)


def test_nobody_writes_what_nobody_has_claimed() -> None:
    with pytest.raises(Violated, match="although nobody holds them"):
        Epochs().committed(TABLE, 0, "A")


def test_a_lease_is_taken_once_it_has_lapsed_or_was_given_up_and_no_sooner() -> None:
    assert held().claimed(TABLE, claim("of b", 3), "B", 20.0, 10.0)
    given_up = held()
    given_up.lapsed(TABLE)
    assert given_up.owner(TABLE) == ""
    assert given_up.claimed(TABLE, claim("of b", 3), "B", 20.0, 3.0)
    with pytest.raises(Violated, match="while A held epoch 2"):
        held().claimed(TABLE, claim("of b", 3), "B", 20.0, 9.0)


def test_an_epoch_belongs_to_one_owner_and_never_comes_again() -> None:
    with pytest.raises(Violated, match="granted to two owners"):
        held().claimed(TABLE, claim("of b", 2), "B", 20.0, 11.0)
    with pytest.raises(Violated, match="after epoch 2"):
        held().claimed(TABLE, claim("of b", 1), "B", math.inf, 11.0)


def test_what_is_made_anew_after_a_drop_is_nobody_s_and_in_no_epoch_that_was_there_before() -> None:
    epochs = held()
    epochs.forget(TABLE)
    assert (epochs.owner(TABLE), epochs.holders([TABLE])) == ("", {})
    with pytest.raises(Violated, match="although nobody holds them"):
        epochs.committed(TABLE, 2, "A")
    with pytest.raises(Violated, match="after epoch 3"):
        epochs.claimed(TABLE, claim("of b", 1), "B", 20.0, 3.0)
    assert epochs.claimed(TABLE, claim("of b", 4), "B", 20.0, 3.0)
    epochs.committed(TABLE, 4, "B")
    with pytest.raises(Violated, match="although B holds them in epoch 4"):
        epochs.committed(TABLE, 2, "A")
