"""Upcasters: each a step from one stored name to others; what cannot work is refused when they are put together."""

from collections.abc import Callable
from typing import Any

import pytest

from bus import Application, DefinitionError, Drop, Event, Split, Upcaster
from bus.core.schema import Schema
from bus.core.upcasting import Upcasting, finals, missing, next_version, with_version


class Counted(Event, tag="counted@3"):
    count: int


def as_is(data: dict[str, Any]) -> dict[str, Any]:
    return data


def steps(*upcasters: Upcasting) -> dict[str, Upcasting]:
    return {one.name: one for one in upcasters}


async def later(data: dict[str, Any]) -> dict[str, Any]:
    return data


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Upcaster("Counted", to="counted@2"), "'Counted' is no stored name"),
        (lambda: Upcaster("counted", to="counted@02"), "'counted@02' is no stored name"),
        (lambda: Upcaster("counted@1", to="counted@2"), "'counted@1' is no stored name"),
        (lambda: Upcaster("counted", to="counted"), "'counted' is no later version of it"),
        (lambda: Upcaster("counted@3", to="counted@2"), "'counted@2' is no later version of it"),
        (lambda: Upcaster("counted", to="counted@2", up=later), "up must be a plain function"),  # type: ignore[arg-type]
        (lambda: Upcaster("counted", to="counted@2", up=5), "up must be a function"),  # type: ignore[arg-type]
        (lambda: Split("counted", to="counted@2", up=as_is), "to must be a tuple of names"),  # type: ignore[arg-type]
        (lambda: Split("counted", to=(), up=as_is), "to must be a tuple of names"),  # type: ignore[arg-type]
        (lambda: Split("counted", to=("one", "Two"), up=as_is), "'Two' is no stored name"),  # type: ignore[arg-type]
        (lambda: Drop("@2"), "'@2' is no stored name"),
        (lambda: Application(upcasters=[as_is]), "must be of type Upcaster or Split or Drop"),  # type: ignore[list-item]
        (lambda: Application(upcasters=Drop("a")), "upcasters must be a list"),  # type: ignore[arg-type]
        (lambda: Schema([], [Drop("a"), Upcaster("a", to="b")]), "more than one upcaster of 'a'"),
        (lambda: Schema([Counted], [Drop("counted@3")]), "give the type its next version, tag='counted@4'"),
        (
            lambda: Schema([], [Upcaster("a", to="b"), Split("b", to=("c", "a"), up=lambda data: [])]),
            "the upcasters lead from 'a' back to itself",
        ),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_built(make: Callable[[], object], why: str) -> None:
    with pytest.raises(DefinitionError, match=why):
        make()


@pytest.mark.parametrize(
    ("upcasters", "lacking"),
    [
        ((), ("counted", "counted@2")),
        ((Upcaster("counted@2", to="counted@3"),), ("counted",)),
        ((Upcaster("counted", to="counted@3"),), ("counted@2",)),
        ((Upcaster("counted", to="counted@2"),), ("counted@2",)),
        ((Drop("counted"), Drop("counted@2")), ()),
        ((Drop("counted"), Drop("counted@2"), Upcaster("old", to="gone")), ("gone",)),
        ((Drop("counted"), Drop("counted@2"), Drop("old@3")), ("old", "old@2")),
        ((Drop("counted"), Drop("counted@2"), Upcaster("old", to="new@2")), ("new", "new@2")),
    ],
)
def test_missing_are_earlier_versions_and_names_that_lead_to_nothing(
    upcasters: tuple[Upcasting, ...], lacking: tuple[str, ...]
) -> None:
    assert missing(["counted@3"], steps(*upcasters)) == lacking


def test_an_earlier_version_may_stay_a_type_of_its_own() -> None:
    assert missing(["counted", "counted@2"], {}) == ()


def test_versions_are_named_in_numerical_order() -> None:
    assert missing(["x@12"], {}) == ("x", *[f"x@{version}" for version in range(2, 12)])


def test_the_steps_from_a_name_end_where_none_goes_on() -> None:
    several = steps(Upcaster("a", to="b"), Split("b", to=("c", "d"), up=lambda data: []), Drop("d"))
    assert finals("a", several) == {"c"}
    assert finals("x", several) == {"x"}
    assert finals("d", several) == frozenset()


def test_the_first_version_has_no_number() -> None:
    assert (with_version("a", 1), with_version("a", 2)) == ("a", "a@2")
    assert (next_version("a"), next_version("a@9")) == ("a@2", "a@10")
