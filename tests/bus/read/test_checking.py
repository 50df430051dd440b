"""Checking: views that were made from another event store are refused, and it is said why."""

import pytest

from bus import Bus, MemoryEventStore
from bus.core.errors import ViewsMismatch
from bus.core.stored import Checkpoint, table_of
from bus.read.checking import check_views
from tests.support.building import services_of
from tests.support.ledger import BALANCES, LEDGER, Deposit

TABLE = table_of(BALANCES)


async def filled() -> MemoryEventStore:
    events = MemoryEventStore()
    async with Bus(LEDGER, event_store=events) as bus:
        for account in ("a", "b", "a"):
            await bus.send(Deposit(account))
    return events


async def test_views_of_nothing_belong_to_any_store() -> None:
    async with MemoryEventStore() as events:
        await check_views(services_of(events=events), TABLE, Checkpoint(0, "another"))


async def test_views_whose_last_event_is_the_store_s_belong_to_it() -> None:
    async with await filled() as events:
        await check_views(services_of(events=events), TABLE, Checkpoint(3, events.identity, "account-a", 2))


@pytest.mark.parametrize(
    ("checkpoint", "why"),
    [
        (Checkpoint(3, "another", "account-a", 2), "they were made from another event store"),
        (Checkpoint(4, "", "account-a", 3), "at position 4, but the event store ends at 3: it was restored"),
        (
            Checkpoint(3, "", "account-b", 2),
            "version 2 of 'account-a', but they were made from version 2 of 'account-b'",
        ),
        (Checkpoint(3, "", "account-a", 1), "but they were made from version 1 of 'account-a'"),
    ],
)
async def test_views_of_other_events_are_refused(checkpoint: Checkpoint, why: str) -> None:
    async with await filled() as events:
        services = services_of(events=events)
        services.feed.advance(3)
        named = checkpoint.store_id or events.identity
        found = Checkpoint(checkpoint.position, named, checkpoint.stream, checkpoint.version)
        with pytest.raises(ViewsMismatch, match=why):
            await check_views(services, TABLE, found)
