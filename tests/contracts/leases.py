"""The laws of leases in a view store that several buses share. An adapter's tests inherit the class and name the store.

Nobody waits in them: a lease of no seconds has lapsed at once, one of an hour does not lapse while a test runs.
"""

from collections.abc import Callable

import pytest

from bus.core.stored import Checkpoint, Claim, StoredView, ViewChanges
from bus.ports import ViewStore
from tests.contracts.view_store import BOARD, FIRST, PLAIN, START

NewPair = Callable[[], tuple[ViewStore, ViewStore]]
"""Makes two stores, or one that may be opened twice, which keep their views in one place where nothing is yet."""

HOUR_S = 3600.0
SECOND = Checkpoint(8, "store", "a-1", 4)


class LeaseLaws:
    """Needs a fixture `new_pair`."""

    async def test_nobody_owns_a_table_until_it_is_claimed(self, new_pair: NewPair) -> None:
        one, other = new_pair()
        async with one, other:
            await one.prepare([PLAIN, BOARD])
            await other.prepare([BOARD, PLAIN])
            assert dict(await one.claim([PLAIN], "first", HOUR_S)) == {PLAIN: Claim("first", 1, START)}
            assert dict(await other.claim([PLAIN, BOARD], "second", HOUR_S)) == {
                PLAIN: Claim("first", 1, START),
                BOARD: Claim("second", 1, START),
            }
            assert dict(await other.claim([], "second", HOUR_S)) == {}

    async def test_a_lease_is_renewed_without_a_new_epoch_also_when_it_had_lapsed(self, new_pair: NewPair) -> None:
        one, other = new_pair()
        async with one, other:
            await one.prepare([PLAIN])
            await other.prepare([PLAIN])
            for lease_s in (HOUR_S, 0.0, HOUR_S):
                assert (await one.claim([PLAIN], "first", lease_s))[PLAIN] == Claim("first", 1, START)
            assert (await other.claim([PLAIN], "second", HOUR_S))[PLAIN].owner == "first"

    async def test_what_has_lapsed_is_taken_and_the_old_holder_writes_nothing(self, new_pair: NewPair) -> None:
        one, other = new_pair()
        async with one, other:
            await one.prepare([PLAIN])
            await other.prepare([PLAIN])
            old = (await one.claim([PLAIN], "first", 0.0))[PLAIN]
            assert await one.commit(PLAIN, _write(START, FIRST, b"old", old.epoch))
            new = (await other.claim([PLAIN], "second", HOUR_S))[PLAIN]
            assert new == Claim("second", old.epoch + 1, FIRST)
            # The checkpoint is as the old holder knows it; the epoch alone tells.
            assert not await one.commit(PLAIN, _write(FIRST, SECOND, b"stale", old.epoch))
            assert dict(await one.load(PLAIN, ["k"])) == {"k": b"old"}
            assert dict(await one.prepare([PLAIN])) == {PLAIN: FIRST}
            assert await other.commit(PLAIN, _write(FIRST, SECOND, b"new", new.epoch))
            assert (await one.claim([PLAIN], "first", HOUR_S))[PLAIN] == Claim("second", new.epoch, SECOND)

    async def test_a_lapsed_lease_that_nobody_took_still_writes(self, new_pair: NewPair) -> None:
        one, other = new_pair()
        async with one, other:
            await one.prepare([PLAIN])
            claim = (await one.claim([PLAIN], "first", 0.0))[PLAIN]
            assert await one.commit(PLAIN, _write(START, FIRST, b"1", claim.epoch))

    @pytest.mark.parametrize("wrong", [0, 2, -1])
    async def test_a_commit_in_another_epoch_writes_nothing(self, new_pair: NewPair, wrong: int) -> None:
        one, other = new_pair()
        async with one, other:
            await one.prepare([PLAIN])
            assert (await one.claim([PLAIN], "first", HOUR_S))[PLAIN].epoch == 1
            assert not await one.commit(PLAIN, _write(START, FIRST, b"1", wrong))
            assert dict(await one.prepare([PLAIN])) == {PLAIN: START}

    async def test_what_is_released_is_free_at_once_and_nothing_else_is(self, new_pair: NewPair) -> None:
        one, other = new_pair()
        async with one, other:
            await one.prepare([PLAIN, BOARD])
            await other.prepare([PLAIN, BOARD])
            await one.claim([PLAIN, BOARD], "first", HOUR_S)
            await other.release([PLAIN, BOARD], "second")
            await one.release([PLAIN], "first")
            taken = await other.claim([PLAIN, BOARD], "second", HOUR_S)
            assert {table: claim.owner for table, claim in taken.items()} == {PLAIN: "second", BOARD: "first"}
            assert taken[PLAIN].epoch == 2
            # Given up and taken again, it is another lease.
            await other.release([PLAIN], "second")
            assert (await other.claim([PLAIN], "second", HOUR_S))[PLAIN].epoch == 3

    async def test_leases_survive_closing(self, new_pair: NewPair) -> None:
        one, other = new_pair()
        async with one:
            await one.prepare([PLAIN])
            await one.claim([PLAIN], "first", HOUR_S)
        async with other:
            await other.prepare([PLAIN])
            assert (await other.claim([PLAIN], "second", HOUR_S))[PLAIN] == Claim("first", 1, START)


def _write(expected: Checkpoint, checkpoint: Checkpoint, payload: bytes, epoch: int) -> ViewChanges:
    return ViewChanges(expected, checkpoint, (StoredView("k", payload),), (), epoch)
