"""Group commit: one append for all, the identical one again while it is uncertain, and a count of what was recorded."""

from datetime import UTC, datetime

import anyio

from bus import Limits, StoreUnavailable
from bus.core.stored import Append, NewEvent
from bus.runtime.clock import LoopClock
from bus.runtime.telemetry import NoTelemetry
from bus.write.commit import Committed, GroupCommit, Uncertain
from tests.support.stores import FakeEventStore, lost_after, lost_before, unavailable


def entry(stream: str, version: int, command_id: str, events: int = 1) -> Append:
    return Append(stream, version, (NewEvent("happened", b"{}"),) * events, command_id, b"")


def group_commit(store: FakeEventStore, attempts: int = 3) -> GroupCommit:
    limits = Limits(append_attempts_max=attempts, append_backoff_s=1, append_backoff_max_s=2)
    return GroupCommit(store, clock=LoopClock(), telemetry=NoTelemetry(), limits=limits)


async def test_what_is_recorded_is_counted() -> None:
    async with FakeEventStore() as store:
        commit = group_commit(store)
        done = await commit.append([entry("a-1", 0, "1", 2), entry("a-2", 5, "2"), entry("a-3", 0, "3", 0)])
        assert isinstance(done, Committed)
        assert (done.attempts, done.appended.position_before, list(done.appended.refused)) == (1, 0, [1])
        assert abs((datetime.now(UTC) - done.recorded_at).total_seconds()) < 60
        assert (commit.batches, commit.commands, commit.events) == (1, 2, 2)


async def test_a_first_attempt_that_failed_for_certain_is_over() -> None:
    async with FakeEventStore() as store:
        store.script.append(unavailable)
        commit = group_commit(store)
        assert isinstance(await commit.append([entry("a-1", 0, "1")]), StoreUnavailable)
        assert (commit.batches, len(store.batches)) == (0, 1)


async def test_uncertain_attempts_are_repeated_until_they_are_too_many() -> None:
    async with FakeEventStore() as store:
        store.script.extend([lost_before, unavailable, lost_after])
        commit = group_commit(store)
        started = anyio.current_time()
        failed = await commit.append([entry("a-1", 0, "1")])
        assert isinstance(failed, Uncertain)
        assert isinstance(failed.error, ConnectionError)
        assert round(anyio.current_time() - started) == 3
        assert len(store.batches) == 3
        assert len(set(store.times)) == 1


async def test_an_attempt_that_had_happened_unseen_is_found_to_be_recorded() -> None:
    async with FakeEventStore() as store:
        store.script.append(lost_after)
        commit = group_commit(store)
        done = await commit.append([entry("a-1", 0, "1", 2)])
        assert isinstance(done, Committed)
        assert done.attempts == 2
        assert list(done.appended.refused) == [0]
        assert await store.head() == 2
        assert (commit.batches, commit.commands, commit.events) == (1, 1, 2)
