"""Given events are those that a store could have given back."""

from typing import Any

import pytest

from bus import Event
from bus.core.schema import Schema
from bus.testing.histories import read_back
from tests.support.bank import AccountEvent, Deposited, Foreign, Noted, Opened, Withdrawn

SCHEMA = Schema([Opened, Deposited, Withdrawn, Noted])


@pytest.mark.parametrize("event", [Opened(), Deposited(5), Noted({"a": [1, None]})])
def test_an_event_is_read_back_as_it_was(event: AccountEvent) -> None:
    read = read_back(event, SCHEMA, "decider 'account'")
    assert read == event
    assert read is not event


def test_an_event_that_is_not_declared_is_refused() -> None:
    with pytest.raises(TypeError, match="is none of the events of decider 'account'"):
        read_back(Foreign(), SCHEMA, "decider 'account'")


def test_a_class_is_no_event() -> None:
    given: Any = Opened
    with pytest.raises(TypeError, match="none of the events"):
        read_back(given, SCHEMA, "decider 'account'")


@pytest.mark.parametrize(
    "event",
    [
        Deposited(float("nan")),  # It is stored as null, which is no number.
        Noted((1, 2)),  # It comes back as a list.
        Noted(object()),
        Noted("\udc80"),
    ],
)
def test_an_event_that_no_store_could_have_given_back_is_refused(event: Event) -> None:
    with pytest.raises(ValueError, match="can never have been recorded"):
        read_back(event, SCHEMA, "decider 'account'")
