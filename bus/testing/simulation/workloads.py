"""Workloads: messages made up from their types, for applications that give none of their own."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import msgspec
from msgspec import inspect

from bus.core.application import Application
from bus.core.errors import DefinitionError
from bus.core.messages import Command, Query

WORDS = ("AAA", "BBB", "CCC", "DDD")
"""Few, so that commands meet at the same aggregates; short capitals, as many codes are."""
BEGINNING = datetime(2013, 1, 1, tzinfo=UTC)
QUERIES = 0.1
"""The share of queries, where the application answers any."""


def generated(application: Application) -> Callable[[Random], Command | Query[Any]]:
    """A workload of the application's own commands and queries, each field drawn from a few values of its type.

    Raises `DefinitionError` for an application without commands. A field whose values must match a pattern cannot be
    made up: the first draw of such a message raises it, too, and the application needs a workload of its own.
    """
    commands = list(application.decider_of)
    queries = list(application.handler_of)
    described = {kind: inspect.type_info(kind) for kind in (*commands, *queries)}
    if not commands:
        raise DefinitionError("an application without commands has nothing to simulate")

    def workload(chance: Random) -> Command | Query[Any]:
        kinds = queries if queries and chance.random() < QUERIES else commands
        kind: Any = chance.choice(kinds)
        try:
            made: Command | Query[Any] = msgspec.convert(_fields(chance, described[kind]), kind)
        except (msgspec.ValidationError, DefinitionError) as error:
            raise DefinitionError(
                f"{kind.__qualname__} cannot be made up from its types ({error}): give the simulation a workload, a "
                "function that draws a message from a random.Random"
            ) from error
        return made

    return workload


def _fields(chance: Random, described: Any) -> dict[str, Any]:
    """A struct's fields as they are encoded; what has a default keeps it half of the time."""
    made: dict[str, Any] = {} if described.tag is None else {described.tag_field: described.tag}
    for field in described.fields:
        if field.required or chance.random() < 0.5:
            made[field.encode_name] = _value(chance, field.type)
    return made


def _value(chance: Random, kind: object) -> Any:
    """A value of a type, in the form in which it is encoded."""
    name: type = type(kind)
    make = _MAKERS.get(name)
    if make is None:
        raise DefinitionError(f"there is no value for {type(kind).__name__}")
    return make(chance, kind)


def _text(chance: Random, kind: inspect.StrType) -> str:
    word = chance.choice(WORDS).ljust(kind.min_length or 0, "A")
    return word if kind.max_length is None else word[: kind.max_length]


def _number(chance: Random, kind: Any) -> float:
    """A small one within the bounds."""
    low = kind.ge if kind.ge is not None else kind.gt + 1 if kind.gt is not None else None
    high = kind.le if kind.le is not None else kind.lt - 1 if kind.lt is not None else None
    if low is None:
        low = 1 if high is None else min(1, high)
    return int(chance.randint(int(low), int(low) + 9 if high is None else int(min(high, low + 9))))


def _moment(chance: Random, kind: inspect.DateTimeType) -> str:
    moment = BEGINNING + timedelta(minutes=chance.randrange(0, 4_320, 5))
    return (moment if kind.tz is not False else moment.replace(tzinfo=None)).isoformat()


def _several(chance: Random, kind: Any) -> list[Any]:
    size = max(kind.min_length or 0, chance.randrange(3))
    return [_value(chance, kind.item_type) for _ in range(size)]


def _mapping(chance: Random, kind: Any) -> dict[Any, Any]:
    return {_value(chance, kind.key_type): _value(chance, kind.value_type) for _ in range(chance.randrange(3))}


def _one_of(values: Callable[[Any], Any]) -> "Maker":
    def make(chance: Random, kind: Any) -> Any:
        return chance.choice(list(values(kind)))

    return make


Maker = Callable[[Random, Any], Any]

_MAKERS: Mapping[type, Maker] = {
    inspect.AnyType: lambda chance, kind: chance.randrange(10),
    inspect.BoolType: lambda chance, kind: chance.random() < 0.5,
    inspect.BytesType: lambda chance, kind: chance.choice(["", "AA==", "AQI="]),
    inspect.DateTimeType: _moment,
    inspect.DateType: lambda chance, kind: (BEGINNING + timedelta(days=chance.randrange(7))).date().isoformat(),
    inspect.DecimalType: lambda chance, kind: f"{chance.randrange(1_000)}.{chance.randrange(100):02}",
    inspect.DictType: _mapping,
    inspect.EnumType: _one_of(lambda kind: [member.value for member in kind.cls]),
    inspect.FloatType: _number,
    inspect.FrozenSetType: _several,
    inspect.IntType: _number,
    inspect.ListType: _several,
    inspect.LiteralType: _one_of(lambda kind: kind.values),
    inspect.NoneType: lambda chance, kind: None,
    inspect.SetType: _several,
    inspect.StrType: _text,
    inspect.StructType: _fields,
    inspect.TimeDeltaType: lambda chance, kind: f"PT{chance.randrange(3_600)}S",
    inspect.TimeType: lambda chance, kind: f"{chance.randrange(24):02}:{chance.randrange(60):02}:00",
    inspect.TupleType: lambda chance, kind: [_value(chance, one) for one in kind.item_types],
    inspect.UnionType: lambda chance, kind: _value(chance, chance.choice(kind.types)),
    inspect.UUIDType: lambda chance, kind: str(UUID(int=chance.randrange(4))),
    inspect.VarTupleType: _several,
}
