"""Annotations: how the types of a function are found, however they are written."""

import typing
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Optional, Union

import pytest

from bus import Command, Decider, DefinitionError, Event, State
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


class Ring(Command):
    pass


class Rang(Event, tag="rang"):
    pass


class Bell(State):
    pass


class SoftCommand(Command, frozen=False):  # type: ignore[misc]
    pass


class SoftEvent(Event, tag="soft-event", frozen=False):  # type: ignore[misc]
    pass


class SoftState(State, frozen=False):  # type: ignore[misc]
    pass


def _decide_soft_command(command: SoftCommand, bell: Bell) -> Sequence[Rang]:
    return []


def _decide_soft_event(command: Ring, bell: Bell) -> Sequence[SoftEvent]:
    return []


def _evolve_soft_event(bell: Bell, event: SoftEvent) -> Bell:
    return bell


def _decide_soft_state(command: Ring, bell: SoftState) -> Sequence[Rang]:
    return []


def _evolve_soft_state(bell: SoftState, event: Rang) -> SoftState:
    return bell


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("command SoftCommand", {"decide": _decide_soft_command}),
        ("event SoftEvent", {"decide": _decide_soft_event, "evolve": _evolve_soft_event}),
        (
            "state SoftState",
            {"decide": _decide_soft_state, "evolve": _evolve_soft_state, "initial": SoftState()},
        ),
    ],
)
def test_what_is_not_frozen_is_refused(what: str, changes: dict[str, Any]) -> None:
    sound: dict[str, Any] = {
        "category": "bell",
        "initial": Bell(),
        "identify": str,
        "decide": _decide,
        "evolve": _evolve,
    }
    with pytest.raises(DefinitionError, match=f"{what} must be frozen: leave out frozen=False"):
        Decider(**{**sound, **changes})


def _decide(command: Ring, bell: Bell) -> Sequence[Rang]:
    return []


def _evolve(bell: Bell, event: Rang) -> Bell:
    return bell
