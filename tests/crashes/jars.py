"""Jars: the application that is killed; two views count its events, and a table of its own has a row of each.

Each event says which part of its command it is, and the version of its jar that the command was decided on.
"""

from collections.abc import Sequence
from typing import TypeAlias

from bus import (
    STOP,
    Application,
    BatchProjection,
    Command,
    Decider,
    Event,
    Projection,
    Recorded,
    Rejected,
    State,
    Transaction,
    View,
)


class Fill(Command):
    """Records an event for each marble."""

    jar: str
    marbles: list[int]


class Draw(Command):
    """Refused where there is not so much."""

    jar: str
    weight: int


class Filled(Event, tag="filled"):
    weight: int
    decided_on: int
    part: int
    """1, 2, 3, ... of the events of its command."""
    parts: int


class Drawn(Event, tag="drawn"):
    weight: int
    decided_on: int
    part: int = 1
    parts: int = 1


class TooLight(Rejected): ...


class Jar(State):
    weight: int = 0
    version: int = 0


JarEvent: TypeAlias = Filled | Drawn


def decide(command: Fill | Draw, jar: Jar) -> Sequence[JarEvent]:
    if isinstance(command, Fill):
        parts = len(command.marbles)
        return [Filled(weight, jar.version, part, parts) for part, weight in enumerate(command.marbles, 1)]
    if command.weight > jar.weight:
        raise TooLight("there is not so much in the jar", weight=jar.weight)
    return [Drawn(command.weight, jar.version)]


def evolve(jar: Jar, event: JarEvent) -> Jar:
    return Jar(jar.weight + _signed(event), jar.version + 1)


class JarView(View):
    weight: int
    versions: int
    """How many events made it: as many as the last one's version, if none came twice and none was skipped."""
    version: int


class Shelf(View):
    """Of every event, and therefore changed by every commit."""

    weight: int
    events: int
    position: int


def project_jar(view: JarView | None, recorded: Recorded[JarEvent], key: str) -> JarView:
    before = view or JarView(0, 0, 0)
    return JarView(before.weight + _signed(recorded.event), before.versions + 1, recorded.version)


def project_shelf(view: Shelf | None, recorded: Recorded[JarEvent], key: str) -> Shelf:
    before = view or Shelf(0, 0, 0)
    return Shelf(before.weight + _signed(recorded.event), before.events + 1, recorded.position)


async def set_up_rows(transaction: Transaction) -> None:
    # Without a key, so that what comes twice is there twice.
    await transaction.execute("CREATE TABLE jar_rows(position bigint NOT NULL, stream text NOT NULL, weight integer)")


async def insert_rows(batch: Sequence[Recorded[JarEvent]], transaction: Transaction) -> None:
    places = "?, ?, ?" if transaction.dialect == "sqlite" else "$1, $2, $3"
    rows = [(one.position, one.stream, _signed(one.event)) for one in batch]
    await transaction.execute_many(f"INSERT INTO jar_rows VALUES ({places})", rows)


def _signed(event: JarEvent) -> int:
    return event.weight if isinstance(event, Filled) else -event.weight


JARS = Application(
    deciders=[
        Decider(category="jar", initial=Jar(), identify=lambda command: command.jar, decide=decide, evolve=evolve)
    ],
    projections=[
        Projection(
            name="jars",
            version=1,
            view=JarView,
            project=project_jar,
            key=lambda recorded: recorded.stream_id,
            indexes=("weight",),
            on_poison=STOP,
        ),
        Projection(
            name="shelves",
            version=1,
            view=Shelf,
            project=project_shelf,
            key=lambda recorded: ("all", type(recorded.event).__name__),
            on_poison=STOP,
        ),
        BatchProjection(name="rows", version=1, handle=insert_rows, setup=set_up_rows, answers=()),
    ],
)
