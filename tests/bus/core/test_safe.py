"""A field is told where its type declares it safe, and nowhere else."""

import enum
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, NewType, TypeAlias
from uuid import UUID

import msgspec
import pytest

from bus.core import SAFE, Application, Command, Decider, Event, Query, State, Views
from bus.core.errors import DefinitionError
from bus.core.safe import TEXT_CHARACTERS_MAX, safe_fields, told_fields

Code = NewType("Code", str)
SafeCode: TypeAlias = Annotated[Code, SAFE]


class Colour(enum.Enum):
    RED = "red"


class Everything(Command):
    secret: str
    code: SafeCode
    number: Annotated[int, msgspec.Meta(ge=0), SAFE]
    share: Annotated[float, SAFE]
    is_new: Annotated[bool, SAFE]
    colour: Annotated[Colour, SAFE]
    at: Annotated[datetime, SAFE]
    day: Annotated[date, SAFE]
    wait: Annotated[timedelta, SAFE]
    ref: Annotated[UUID, SAFE]
    perhaps: Annotated[str | None, SAFE] = None
    maybe: SafeCode | None = None
    part: SafeCode | str = "secret too"
    several: tuple[SafeCode, ...] = ()
    described: Annotated[str, msgspec.Meta(description="long"), SAFE] = "d"


NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
FULL = Everything("Ada", Code("x"), 5, 0.5, True, Colour.RED, NOON, NOON.date(), timedelta(minutes=1), UUID(int=1))


def test_what_is_declared_safe_is_told_in_plain_values() -> None:
    assert told_fields(FULL) == {
        "code": "x",
        "number": 5,
        "share": 0.5,
        "is_new": True,
        "colour": "red",
        "at": "2013-01-01T12:00:00Z",
        "day": "2013-01-01",
        "wait": "PT60S",
        "ref": "00000000-0000-0000-0000-000000000001",
        "described": "d",
    }


def test_what_may_be_missing_is_told_where_it_is_not() -> None:
    told = told_fields(msgspec.structs.replace(FULL, perhaps="p", maybe=Code("m")))
    assert (told["perhaps"], told["maybe"]) == ("p", "m")


def test_nothing_declared_is_nothing_told() -> None:
    assert told_fields(Opened("Ada")) == {}


def test_no_text_and_no_number_is_too_much_for_a_line() -> None:
    long = msgspec.structs.replace(FULL, code=Code("\ud800" + "x" * 200), number=2**64)
    told = told_fields(long)
    assert told["code"] == "\\ud800" + "x" * (TEXT_CHARACTERS_MAX - 1)
    assert told["number"] == str(2**64)


class Open(Command):
    id: str
    tags: Annotated[list[str], SAFE]


class Opened(Event, tag="opened"):
    owner: str


class OpenedWithOwner(Event, tag="opened-with-owner"):
    owner: Annotated[Opened, SAFE]


class Find(Query[str]):
    text: Annotated[bytes, SAFE]


class Account(State): ...


class Close(Command):
    id: str


def decide_open(command: Open, account: Account) -> Sequence[Opened]:
    return []


def decide(command: Close, account: Account) -> Sequence[Opened]:
    return []


def decide_with_owner(command: Close, account: Account) -> Sequence[OpenedWithOwner]:
    return []


def evolve(account: Account, event: Opened) -> Account:
    return account


def evolve_with_owner(account: Account, event: OpenedWithOwner) -> Account:
    return account


async def find(query: Find, views: Views) -> str:
    return ""


def decider(decide: Any, evolve: Any) -> Decider[Any, Any, Any]:
    return Decider(category="account", initial=Account(), identify=lambda one: one.id, decide=decide, evolve=evolve)


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"deciders": [decider(decide_open, evolve)]}, r"Open: the field 'tags'"),
        ({"deciders": [decider(decide_with_owner, evolve_with_owner)]}, r"OpenedWithOwner: the field 'owner'"),
        ({"deciders": [decider(decide, evolve)], "query_handlers": [find]}, r"Find: the field 'text'"),
    ],
)
def test_what_cannot_be_told_is_refused_when_the_application_is_built(parts: Any, field: str) -> None:
    with pytest.raises(DefinitionError, match=field):
        Application(**parts)


def test_a_type_that_cannot_be_resolved_declares_nothing() -> None:
    class Local(Query[str]):
        thing: "Annotated[Unheard, SAFE]"  # type: ignore[name-defined]  # noqa: F821

    assert safe_fields(Local) == ()
