"""Given takes a decider and its events or a projection, and the limits of the bus in which they will run."""

from typing import Any

import pytest

from bus import CommandFailed, Limits, ProjectionStopped
from bus.testing import Decided, GivenDecider, GivenProjection, given
from tests.support.bank import ACCOUNT, Deposit, Foreign, Misbehave, Opened
from tests.support.ledger import BALANCES, Deposited, balances


def test_a_decider_is_given_its_events() -> None:
    assert isinstance(given(ACCOUNT), GivenDecider)
    assert isinstance(given(ACCOUNT, Opened()).when(Deposit("a", 1)), Decided)


def test_a_projection_is_given_none() -> None:
    assert isinstance(given(BALANCES), GivenProjection)
    anything: Any = given
    with pytest.raises(TypeError, match=r"the events of a projection have places: .*recorded"):
        anything(BALANCES, Deposited(1))


def test_anything_else_is_refused() -> None:
    anything: Any = given
    with pytest.raises(TypeError, match=r"takes a Decider and its events, or a Projection, not Opened\(\)"):
        anything(Opened())


def test_events_of_others_are_refused() -> None:
    anything: Any = given
    with pytest.raises(TypeError, match="none of the events of decider 'account'"):
        anything(ACCOUNT, Foreign())


def test_limits_are_those_given() -> None:
    three = Misbehave("a", "many", 3)
    given(ACCOUNT, limits=Limits(command_events_max=3)).when(three).then(Opened(), Opened(), Opened())
    with pytest.raises(CommandFailed, match="more than 2 events"):
        given(ACCOUNT, limits=Limits(command_events_max=2)).when(three)
    both = balances(key=lambda recorded: ("a", "b"))
    with pytest.raises(ProjectionStopped, match="event_keys_max"):
        given(both, limits=Limits(event_keys_max=1)).recorded("account-a", Deposited(1))
