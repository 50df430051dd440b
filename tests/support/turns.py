"""Turns beside each other, for tests: stores that take two appends at a time, and aggregates that are in memory."""

from collections.abc import Sequence

from bus import Bus, Limits
from tests.support.bank import Open
from tests.support.sending import Sent
from tests.support.stores import FakeEventStore

ONE = Limits(turn_actors_min=1)
"""A single aggregate is enough for a turn beside another one."""


def two_at_a_time(*, shared: bool = False) -> FakeEventStore:
    return FakeEventStore(shared=shared, appends_at_once=2)


async def warm(bus: Bus, *accounts: str) -> None:
    """The accounts exist and are in memory."""
    for account in accounts:
        await bus.send(Open(account))


async def outcomes(sent: Sequence[Sent]) -> list[str]:
    return [type(await one.outcome()).__name__ for one in sent]
