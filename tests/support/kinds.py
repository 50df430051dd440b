"""Kinds: an application whose one event has a field of every kind of value that an event can carry."""

import enum
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from bus import Application, Command, Decider, Event, State, Upcaster


class Kind(enum.Enum):
    ODD = "odd"
    EVEN = "even"


class Level(enum.IntEnum):
    LOW = 1


class Point(msgspec.Struct, frozen=True):
    x: int
    y: float = 0.0


class Circle(msgspec.Struct, frozen=True, tag="circle"):
    at: Point
    radius: float


class Line(msgspec.Struct, frozen=True, tag="line"):
    points: tuple[Point, ...]


class Row(msgspec.Struct, frozen=True, array_like=True):
    name: str
    count: int


class Rich(Event, tag="rich@2"):
    at: datetime
    local: datetime
    zoned: Annotated[datetime, msgspec.Meta(tz=True)]
    day: date
    clock: time
    lasted: timedelta
    price: Decimal
    key: UUID
    raw: bytes
    kind: Kind
    level: Level
    choice: Literal["a", 1]
    by_number: dict[int, float]
    by_kind: dict[Kind, list[str]]
    large: int
    pair: tuple[int, str]
    several: frozenset[int]
    figure: Circle | Line
    row: Row
    maybe: str | None
    text: str
    is_true: bool


class Keep(Command):
    name: str


class Kept(State): ...


MOMENT = datetime(2013, 1, 1, 5, 17, 0, 123_456, UTC)

RICH = Rich(
    at=MOMENT,
    local=MOMENT.replace(tzinfo=None),
    zoned=MOMENT,
    day=MOMENT.date(),
    clock=time(5, 17, 0, 1),
    lasted=timedelta(hours=-1, microseconds=1),
    price=Decimal("0.10"),
    key=UUID(int=7),
    raw=b"\x00\xff",
    kind=Kind.ODD,
    level=Level.LOW,
    choice="a",
    by_number={-1: 0.1, 2**70: 1e300},
    by_kind={Kind.EVEN: ["one"]},
    large=2**70,
    pair=(1, "one"),
    several=frozenset({3}),
    figure=Line((Point(1), Point(2, -0.5))),
    row=Row("first", 1),
    maybe=None,
    text='quotes " and \\, NUL \0, line\nend, naïve 日本 😀',
    is_true=True,
)


def decide(command: Keep, kept: Kept) -> Sequence[Rich]:
    return [RICH]


def evolve(kept: Kept, event: Rich) -> Kept:
    return kept


KEPT = Decider(category="kept", initial=Kept(), identify=lambda command: command.name, decide=decide, evolve=evolve)
KINDS = Application(deciders=[KEPT], upcasters=[Upcaster("rich", to="rich@2")])
