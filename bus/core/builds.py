"""Builds: the tables of a projection's views, one of which answers while another may be built beside it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, TypeAlias

import msgspec

from bus.core.stored import Checkpoint, ViewTable

State: TypeAlias = Literal["building", "answering", "replaced"]

BUILDING: Final = "building"
"""It has not yet answered anything: it is being brought to where another one is."""
ANSWERING: Final = "answering"
"""Queries are answered from it; so is every table that was not built beside another one."""
REPLACED: Final = "replaced"
"""Another one answers in its place. It is kept, and kept up to date, until it is dropped after a grace time."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever projects a table has said of it last, for those who look from outside."""

    told_at: datetime
    owner: str
    """Who projects it; '' for a bus that was closed."""
    events_per_s: float
    """Projected lately."""
    batch_events: float
    """Events in a transaction, lately and on the average."""
    attempts: int
    """Failed attempts at what comes next."""
    retries: int = 0
    """All failed attempts since the bus was opened."""
    parked_keys: int
    last_error: str | None
    stopped: str | None
    """Why it stopped; None while it runs."""
    drops_at: datetime | None = None
    """When it is to be dropped, where another one answers in its place."""


class Build(msgspec.Struct, frozen=True):
    """One table of a projection's views as the view store has it."""

    table: ViewTable
    checkpoint: Checkpoint
    state: State
    since: datetime | None
    """When it came into that state; None for one that has answered from the beginning."""
    standing: Standing | None = None
    """None where nobody has said anything yet."""


def answering(builds: Iterable[Build]) -> Build | None:
    """The one of a projection's builds that answers: that of the highest version, where several do.

    Several do where a version was raised without naming the previous one.
    """
    found = [one for one in builds if one.state == ANSWERING]
    return max(found, key=lambda one: (one.table.version, one.table.build), default=None)


def to_drop(builds: Iterable[Build]) -> tuple[int, int] | None:
    """Version and build of what somebody means who names none: what is being built, or else was replaced last.

    Said when it is asked for, so that what is carried out twice drops nothing else the second time.
    """
    builds = list(builds)
    building = [one for one in builds if one.state == BUILDING]
    replaced = [one for one in builds if one.state == REPLACED and one.since is not None]
    found = max(building, key=lambda one: (one.table.version, one.table.build), default=None) or max(
        replaced, key=lambda one: (one.since, one.table.version, one.table.build), default=None
    )
    return None if found is None else (found.table.version, found.table.build)
