"""Writing: an attempt changes nothing until it is committed, and says afterwards which views it changed."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from bus.core.limits import Limits
from bus.core.messages import Recorded
from bus.core.projection import PARK, Poison
from bus.core.stored import Checkpoint, ViewTable, table_of
from bus.memory import MemoryEventStore, MemoryViewStore
from bus.read.folding import Poisoned
from bus.read.parking import Failure
from bus.read.services import Services
from bus.read.subscription import Slice
from bus.read.writing import ViewWriting
from bus.runtime.clock import LoopClock
from bus.runtime.feed import Feed
from bus.runtime.reply import reply_factory
from tests.support.ledger import Deposited, balances, ledger, project_balance
from tests.support.telemetry import RecordingTelemetry

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
START = Checkpoint()


@asynccontextmanager
async def writing_of(on_poison: Poison = PARK, keys_max: int = 1) -> AsyncGenerator[tuple[ViewWriting, ViewTable]]:
    projection = balances(project_balance, on_poison=on_poison)
    events, views = MemoryEventStore(), MemoryViewStore()
    services = Services(
        application=ledger(projection),
        event_store=events,
        view_store=views,
        feed=Feed(10),
        clock=LoopClock(),
        telemetry=RecordingTelemetry(),
        new_reply=reply_factory(),
        limits=Limits(parked_keys_max=keys_max),
    )
    table = table_of(projection)
    async with events, views:
        await views.prepare([table])
        writing = ViewWriting(services, projection, table, lambda _: None)
        await writing.begin()
        yield writing, table


def deposits(*places: tuple[int, str]) -> Slice:
    """One for each position and account."""
    found = [
        Recorded(
            event=Deposited(5),
            stream=f"account-{account}",
            stream_id=account,
            version=position,
            position=position,
            recorded_at=NOON,
            command_id=f"c{position}",
            correlation_id=f"c{position}",
        )
        for position, account in places
    ]
    return Slice(found, Checkpoint(places[-1][0], "store", found[-1].stream, found[-1].version), len(found), NOON)


async def test_an_attempt_changes_nothing_until_it_is_committed() -> None:
    async with writing_of() as (writing, table):
        attempt = await writing.attempt(deposits((1, "a"), (2, "b")), START, 0)
        assert dict(await writing.view_store.load(table, ["a", "b"])) == {}
        again = await writing.attempt(deposits((1, "a"), (2, "b")), START, 0)
        assert await attempt.commit()
        assert attempt.changed == {"a", "b"}
        attempt.done()
        assert (await writing.view_store.load(table, ["a", "b"])).keys() == {"a", "b"}
        assert not await again.commit()


async def test_the_events_of_a_parked_key_become_letters_in_the_same_commit() -> None:
    async with writing_of() as (writing, table):
        assert writing.park(Poisoned(1, ValueError("a bug"), "a"), Failure(1, "a bug", 5, NOON, NOON)) is None
        attempt = await writing.attempt(deposits((1, "a"), (2, "b"), (3, "a")), START, 0)
        assert dict(writing.parked) == {}
        assert await attempt.commit()
        assert attempt.changed == {"b"}
        attempt.done()
        assert dict(writing.parked) == {"a": 2}
        assert dict(await writing.view_store.parked(table)) == {"a": 2}


async def test_where_nothing_more_may_be_parked_the_reason_says_so() -> None:
    poison = Poisoned(1, ValueError("a bug"), "a")
    failure = Failure(1, "a bug", 5, NOON, NOON)
    async with writing_of(keys_max=1) as (writing, _):
        assert writing.park(poison, failure) is None
        reason = writing.park(Poisoned(2, ValueError("a bug"), "b"), failure)
        assert reason is not None
        assert "Limits.parked_keys_max" in reason


@pytest.mark.parametrize("keys", [(), ("a",)])
async def test_what_cannot_be_parked_stops_the_projection(keys: tuple[str, ...]) -> None:
    poison = Poisoned(1, ValueError("a bug"), *keys)
    on_poison = PARK if not keys else Poison.STOP
    async with writing_of(on_poison) as (writing, _):
        assert writing.park(poison, Failure(1, "a bug", 5, NOON, NOON)) == "ValueError: a bug"


async def test_what_it_knew_is_read_again_once_it_is_forgotten() -> None:
    async with writing_of() as (writing, table):
        first = await writing.attempt(deposits((1, "a")), START, 0)
        assert await first.commit()
        first.done()
        writing.forget()
        assert not writing.parking.is_known
        await writing.begin()
        attempt = await writing.attempt(deposits((2, "a")), first.batch.last, 0)
        assert await attempt.commit()
        assert b"10" in (await writing.view_store.load(table, ["a"]))["a"]
