"""Annotations: how the types of a function are found, however they are written."""

import typing
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Optional, Union

import pytest

from bus import Command, DefinitionError, Event
from bus.core import annotations


class One(Event, tag="one"):
    pass


class Two(Event, tag="two"):
    pass


class Renamed(Command, tag="other"):
    pass


def test_members_of_a_union_are_found_in_their_order_and_once() -> None:
    assert annotations.members(One, Event, "it") == (One,)
    for union in (
        One | Two,
        Union[One, Two],  # noqa: UP007
        Union[One, Two, One],  # noqa: UP007
        Annotated[One | Two, "said"],
        One | Annotated[Two, 1],
    ):
        assert annotations.members(union, Event, "it") == (One, Two)


@pytest.mark.parametrize("annotation", [int, None, Event, One | None, Optional[One], "One", list[One], Any, Renamed])  # noqa: UP045
def test_what_is_no_message_is_no_member(annotation: Any) -> None:
    with pytest.raises(DefinitionError, match="it must be a subclass of Event or a union of such"):
        annotations.members(annotation, Event, "it")


@pytest.mark.parametrize(
    "annotation",
    [list[One], Sequence[One], tuple[One, ...], Iterable[One], typing.List[One], Annotated[list[One], 1]],  # noqa: UP006
)
def test_the_element_of_a_sequence(annotation: Any) -> None:
    assert annotations.element(annotation, "it") is One


@pytest.mark.parametrize("annotation", [One, dict[str, One], set[One], None, list, str])
def test_what_is_no_sequence_has_no_element(annotation: Any) -> None:
    with pytest.raises(DefinitionError, match="it must return a sequence of events"):
        annotations.element(annotation, "it")


def test_the_tag_of_a_message_is_its_name() -> None:
    assert annotations.tag_of(One) == "one"
    assert annotations.tag_of(Renamed) == "other"


def test_a_name_given_by_a_statement_is_what_it_names() -> None:
    class Alias:
        __value__ = Annotated[One | Two, "said"]

    assert annotations.members(Alias(), Event, "it") == (One, Two)
