"""Projecting: a process whose bus projects, parks, retries and discards, and which ends where its fate will have it.

Its views remember all the events that made them; one of the events is poison for one of its two views. A process that
is `mended` can project it, asks for a letter to be discarded, and for all others to be brought into their views.
"""

import sys
from collections.abc import Sequence
from typing import Final

import anyio
import msgspec

from adapters.postgres import PostgresEventStore, PostgresViewStore
from adapters.sqlite import SqliteEventStore
from bus import PARK, Application, Bus, Limits, Recorded, Removed
from bus.ports import EventStore, ViewStore
from tests.crashes import planted_steps
from tests.crashes.nursery import Nursery
from tests.crashes.steps import Fate, Steps, WatchedSqliteViewStore, watch_read_side, watch_store
from tests.support.ledger import AccountEvent, Balance, Close, Deposit, Deposited, balances, ledger, project_balance

POISON: Final = 13
"""The amount of which an account's view cannot be made."""

LIMITS: Final = Limits(
    lease_s=0.3,
    poll_interval_s=0.05,
    # Some batches for few events, some steps for few letters, and a look into the store for nearly every view.
    page_events_max=3,
    projection_events_max=3,
    cached_views_max=1,
    projection_attempts_max=2,
    projection_backoff_s=0.001,
)

EARLIER: Final[Sequence[Deposit | Close]] = (
    Deposit("a1", 1),
    Deposit("b1", 2),
    Deposit("a2", 3, times=2),
    Deposit("a1", POISON),
    Deposit("a1", 4),
    Deposit("b1", 5),
    Close("a2"),
    Deposit("a1", 6, times=3),
    Deposit("a2", 7),
)
"""Recorded before anything is projected."""

LATER: Final[Sequence[Deposit | Close]] = (
    Deposit("b1", 8),
    Deposit("b1", POISON),
    Deposit("a2", 9, times=2),
    Deposit("b1", 10, times=2),
    Deposit("a1", 11),
    Deposit("b1", 12),
)
"""Each sent when everything before it is projected."""

DISCARDED: Final = "b1"
"""Of this account the poison is given up, of the other it is projected in the end."""


def keys(recorded: Recorded[AccountEvent]) -> tuple[str, str]:
    """The account's own view, and that of all accounts with the same first letter."""
    return recorded.stream_id, f"all {recorded.stream_id[0]}"


def brittle(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
    if key == recorded.stream_id and isinstance(recorded.event, Deposited) and recorded.event.amount == POISON:
        raise ZeroDivisionError
    return project_balance(view, recorded, key)


MENDED: Final = ledger(balances(key=keys, on_poison=PARK))
BRITTLE: Final = ledger(balances(brittle, key=keys, on_poison=PARK))


class Plan(msgspec.Struct, frozen=True):
    """What a process is to do; its argument, as JSON."""

    events: str
    views: str
    """Both as URLs of PostgreSQL, or paths of files."""
    is_mended: bool = False
    fate: Fate | None = None
    bug: str | None = None
    """The name of one that is planted."""


def nursery() -> Nursery:
    """Where such processes are forked."""
    return Nursery(__name__, "anyio._backends._asyncio")


def live(arguments: Sequence[str]) -> None:
    """Returns when everything is projected and answered."""
    plan = msgspec.json.decode(arguments[0], type=Plan)
    steps = Steps(plan.fate)
    watch_read_side(steps)
    events, views = _stores(plan, steps)
    if plan.bug is not None and plan.bug in planted_steps.BELOW:
        planted_steps.BELOW[plan.bug](views)
    watch_store(views, steps)
    if plan.bug is not None and plan.bug in planted_steps.ABOVE:
        planted_steps.ABOVE[plan.bug](views)
    application = MENDED if plan.is_mended else BRITTLE
    anyio.run(_run, application, events, views, plan.is_mended)


def _stores(plan: Plan, steps: Steps) -> tuple[EventStore, ViewStore]:
    if plan.events.startswith("postgresql:"):
        return PostgresEventStore(plan.events), PostgresViewStore(plan.views)
    views = WatchedSqliteViewStore(plan.views)
    views.steps = steps
    return SqliteEventStore(plan.events), views


async def _run(application: Application, events: EventStore, views: ViewStore, is_mended: bool) -> None:
    async with Bus(application, event_store=events, view_store=views, limits=LIMITS) as bus:
        await bus.wait_settled()
        for number, command in enumerate(LATER):
            await bus.send(command, command_id=f"later-{number}")
            await bus.wait_settled()
        if is_mended:
            await _ask(bus)
        # What those asked who are no more, this process carries out.
        while await views.requests(is_open=True, limit=1):  # noqa: ASYNC110  # Nothing tells of it.
            await anyio.sleep(LIMITS.poll_interval_s / 5)


async def _ask(bus: Bus) -> None:
    poison = [one.id async for one in bus.dead_letters("balances", key=DISCARDED) if one.error is not None]
    for letter in poison:
        assert (await bus.discard_dead_letter(letter, reason="nobody knows whose it was")).answered_at is not None
    assert (await bus.retry_dead_letters("balances")).answered_at is not None


if __name__ == "__main__":
    live(sys.argv[1:])
