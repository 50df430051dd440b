"""Letters: what is kept of events that a projection has given up for one key, and what people ask to become of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import msgspec


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that one key of a projection has not seen, because it failed there or came after one that did.

    The event itself stays in the event store, at `position`.
    """

    projection: str
    version: int
    """Of the projection."""
    key: str
    position: int
    stream: str
    stream_version: int
    name: str
    """The event's stored name."""
    error: str | None
    """What the projection raised; None where the event only waits behind an earlier one of its key."""
    attempts: int
    """How often the projection failed at it."""
    first_at: datetime
    """When it was given up first."""
    last_at: datetime
    """When it was tried last, or came."""
    trace_id: str | None

    @property
    def id(self) -> str:
        """`projection:version:position:key`, which names it on the command line."""
        return f"{self.projection}:{self.version}:{self.position}:{self.key}"


LETTER_COLUMNS: Final = (
    "position",
    "key",
    "stream",
    "stream_version",
    "name",
    "error",
    "attempts",
    "first_at",
    "last_at",
    "trace_id",
)
"""What stores with rows keep of a letter, in the order of `row_of`; times are microseconds since 1970 in UTC."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def row_of(letter: DeadLetter) -> tuple[Any, ...]:
    """A letter as a row; which table it is in says the rest."""
    row = [getattr(letter, name) for name in LETTER_COLUMNS]
    return tuple([(one - _EPOCH) // _MICROSECOND if isinstance(one, datetime) else one for one in row])


def letter_of_row(projection: str, version: int, row: Sequence[Any]) -> DeadLetter:
    """The letter that was made a row of."""
    fields = dict(zip(LETTER_COLUMNS, row, strict=True))
    for name in ("first_at", "last_at"):
        fields[name] = _EPOCH + fields[name] * _MICROSECOND
    return DeadLetter(projection=projection, version=version, **fields)


Action = Literal["retry", "discard", "rebuild", "switch", "drop"]
"""The last three are about the whole of a projection's views; see `bus/core/builds.py`."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks of whoever runs a projection, which may be another process."""

    id: str
    projection: str
    version: int
    action: Action
    key: str | None
    """None stands for all keys."""
    position: int | None
    """Of the letter to discard."""
    reason: str
    asked_at: datetime
    to_drop: tuple[int, int | None] | None = None
    """Version, and build where one alone is meant, of what to drop; None for what was built or replaced last."""
    answered_at: datetime | None = None
    """None while nobody has carried it out."""
    is_done: bool = False
    """Whether it was carried out as asked."""
    answer: str = ""
    """What became of it, in words."""


class After(msgspec.Struct, frozen=True):
    """What somebody waits for: a position, and the events that must have become views by then."""

    position: int
    first: int
    """Of those up to `position`; above it where they are nobody's in particular."""
    stream: str | None = None
    """None for any."""


_PARTS: Final = 4
_NUMBER_MAX: Final = 2**63 - 1


def letter_place(letter_id: str) -> tuple[str, int, int, str]:
    """Projection, version, position and key of a letter's id; raises ValueError for what is none."""
    parts = letter_id.split(":", _PARTS - 1)
    if len(parts) != _PARTS or not parts[1].isdecimal() or not parts[2].isdecimal() or not parts[3]:
        raise ValueError(
            f"{letter_id!r} is no id of a dead letter: write projection:version:position:key, as the list does"
        )
    version, position = int(parts[1]), int(parts[2])
    if version > _NUMBER_MAX or position > _NUMBER_MAX:
        raise ValueError(f"{letter_id!r} is no id of a dead letter: its numbers have more than 64 bits")
    return parts[0], version, position, parts[3]
