"""Reports: what the bus tells of its work, a batch at a time and after the fact; times are seconds of its clock."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from bus.core.errors import BusError
from bus.core.messages import Command, Event, Query, Receipt, Recorded


class Journey(Protocol):
    """The way of one command that is to be told in full: made by the telemetry, carried by the bus."""

    @property
    def traceparent(self) -> str:
        """What is stored with the command's events."""
        ...


class Sent(Protocol):
    """A command on its way."""

    @property
    def command(self) -> Command: ...

    @property
    def command_id(self) -> str: ...

    @property
    def correlation_id(self) -> str | None:
        """None where it is the command's own id."""
        ...

    @property
    def causation_id(self) -> str | None:
        """None where the sender named no cause."""
        ...

    @property
    def stream(self) -> str: ...

    @property
    def traceparent(self) -> str | None: ...

    @property
    def journey(self) -> Journey | None: ...

    @property
    def sent(self) -> float: ...

    @property
    def deadline(self) -> float: ...

    @property
    def attempts(self) -> int:
        """Appends of it that met another writer's."""
        ...


Decided: TypeAlias = tuple[Sent, BusError | None, tuple[Event, ...], int, object, int]
"""A decision that stands: its refusal if it is one, its events, and the stream's version after them."""

Answered: TypeAlias = tuple[Sent, Receipt | BusError | None]
"""A command that was answered by itself; None where it was dropped, since nobody waited for it any more."""


class Turned(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the commands of one turn, or outside of any; to be read at once, since its lists change later."""

    started: float | None
    """When their actors were given their turn; None for commands that had none."""
    committing: float | None = None
    """When the batch was handed to the store; None where there was no batch."""
    ended: float
    """When the batch was durable or had failed, or everything was decided where there was none."""
    batch: int = 0
    """Its number since the bus was opened, 0 where there was none."""
    failure: str | None = None
    """The code of the error where the batch was not recorded, or where nobody knows."""
    commands: int = 0
    """Commands of the batch that the store accepted; of one that failed, all that it had."""
    events: int = 0
    """Events that it recorded; of a batch that failed, all that it had."""
    decided: Sequence[Decided] = ()
    """Decisions that stand together, in the order of their events."""
    position: int = 0
    """Position before the first of these events."""
    answered: Sequence[Answered] = ()
    joined: Sequence[Answered] = ()
    """Further senders of a command in flight, with what each of them was answered."""
    again: Sequence[Sent] = ()
    """Commands that another writer came before, and that will be decided again."""


class Recovered(msgspec.Struct, frozen=True):
    """One actor that was loaded from the store, together with others."""

    category: str
    started: float
    ended: float
    events: int
    """Events that were replayed."""
    has_snapshot: bool
    error: BusError | None
    waiting: Sequence[Sent]
    """The commands that waited for it."""


class Projected(msgspec.Struct, frozen=True):
    """A projector committed a batch."""

    projection: str
    events: Sequence[Recorded[Event]]
    """Those that are the projection's business."""
    read: int
    """How many events were read, of interest or not."""
    position: int
    started: float
    ended: float
    is_live: bool
    """Whether it is level with the end of the store, and not catching up."""


class Queried(msgspec.Struct, frozen=True):
    """A query was answered, or failed. Told in the task that asked."""

    query: str
    started: float
    ended: float
    error: BusError | None
    """Why not; None too where whoever asked was cancelled."""
    is_answered: bool
    asked: Query[Any] | None = None
    """The query itself, of which only what its type declares safe may be told."""


class Failed(msgspec.Struct, frozen=True):
    """Something failed that the bus tries again by itself, or gives up."""

    part: str
    """What it was: `task`, `append`, `projection`, `projection-store`."""
    name: str
    attempt: int
    error: BaseException
    recorded: Recorded[Event] | None = None
    """The event it failed at."""
