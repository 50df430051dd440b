"""Workloads: messages made up from their types, for every type that a message may have."""

import enum
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest

from adapters.demo import TRAFFIC
from bus import Application, Command, Decider, DefinitionError, Event, Query, State
from bus.testing import generated
from tests.simulation.shop import SHOP


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Part(msgspec.Struct, frozen=True):
    name: str
    weight: float


class Everything(Command):
    identity: str
    text: Annotated[str, msgspec.Meta(min_length=5, max_length=6)]
    short: Annotated[str, msgspec.Meta(max_length=2)]
    number: Annotated[int, msgspec.Meta(ge=100, le=105)]
    below: Annotated[int, msgspec.Meta(lt=0)]
    share: Annotated[float, msgspec.Meta(gt=5)]
    flag: bool
    moment: datetime
    zoned: Annotated[datetime, msgspec.Meta(tz=True)]
    local: Annotated[datetime, msgspec.Meta(tz=False)]
    day: date
    hour: time
    while_: timedelta
    price: Decimal
    key: UUID
    colour: Colour
    choice: Literal["a", "b"]
    maybe: str | None
    parts: list[Part]
    names: frozenset[str]
    tuples: tuple[int, str]
    many: tuple[int, ...]
    mapping: dict[str, int]
    raw: bytes
    anything: Any
    defaulted: int = 77


class Coded(Command):
    code: Annotated[str, msgspec.Meta(pattern="^[a-z]{9}$")]


class Happened(Event, tag="happened"): ...


class Nothing(State): ...


def application(command: Any) -> Application:
    def decide(command: Any, state: Nothing) -> Sequence[Happened]:
        return ()

    def evolve(state: Nothing, event: Happened) -> Nothing:
        return state

    decide.__annotations__["command"] = command
    return Application(
        deciders=[Decider(category="it", initial=Nothing(), identify=lambda c: "a", decide=decide, evolve=evolve)]
    )


def test_every_type_of_field_has_values() -> None:
    workload, chance = generated(application(Everything)), Random(1)
    made = [workload(chance) for _ in range(200)]
    assert all(isinstance(one, Everything) for one in made)
    assert {one.defaulted == 77 for one in made if isinstance(one, Everything)} == {True, False}
    assert {one.maybe is None for one in made if isinstance(one, Everything)} == {True, False}
    assert {len(one.identity) for one in made if isinstance(one, Everything)} == {3}


def test_the_same_chance_makes_the_same_messages() -> None:
    workload = generated(TRAFFIC)
    assert [workload(one) for one in [Random(3)] * 50] != [workload(Random(4)) for _ in range(50)]
    assert [workload(Random(5)) for _ in range(3)] == [workload(Random(5)) for _ in range(3)]


def test_commands_and_queries_are_of_all_the_kinds_that_there_are() -> None:
    workload, chance = generated(SHOP), Random(1)
    kinds = {type(workload(chance)) for _ in range(300)}
    assert kinds == {*SHOP.decider_of, *SHOP.handler_of}
    assert any(issubclass(kind, Query) for kind in kinds)


def test_an_application_without_commands_is_refused() -> None:
    with pytest.raises(DefinitionError, match="nothing to simulate"):
        generated(Application())


def test_values_that_must_match_a_pattern_ask_for_a_workload() -> None:
    workload = generated(application(Coded))
    with pytest.raises(DefinitionError, match=r"Coded cannot be made up .* give the simulation a workload"):
        workload(Random(1))
