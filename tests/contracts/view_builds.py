"""The laws of builds in a view store. An adapter's tests inherit a class and name the store."""

from datetime import UTC, datetime, timedelta

import pytest

from bus.core.builds import Build, Standing
from bus.core.errors import Unusable, ViewsDropped
from bus.core.stored import Checkpoint, Claim, StoredView, ViewChanges, ViewTable
from bus.ports import ViewStore
from tests.contracts.leases import HOUR_S, NewPair
from tests.contracts.letters import letter
from tests.contracts.view_store import BOARD, FIRST, PLAIN, START, NewViewStore

NOON = datetime(2013, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
NEXT = ViewTable("plain", 1, ("size",), 1)
"""The same version built anew; the indexes of a table are its own affair."""
SECOND = ViewTable("plain", 2, ("size",))
"""The next version."""


class ViewBuildLaws:
    """Needs a fixture `new_store`."""

    async def test_what_was_prepared_answers_and_what_is_built_does_not_yet(self, new_store: NewViewStore) -> None:
        store = new_store()
        async with store:
            await store.prepare([PLAIN, BOARD])
            await store.build(NEXT, NOON)
            await store.build(SECOND, LATER)
            wanted = [
                Build(BOARD, START, "answering", None),
                Build(PLAIN, START, "answering", None),
                Build(NEXT, START, "building", NOON),
                Build(SECOND, START, "building", LATER),
            ]
            assert list(await store.builds()) == wanted
        async with store:
            assert list(await store.builds()) == wanted

    async def test_what_is_there_is_not_built_again(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN])
            await store.build(PLAIN, NOON)
            await store.build(NEXT, NOON)
            await store.build(NEXT, LATER)
            assert dict(await store.prepare([NEXT])) == {NEXT: START}
            assert list(await store.builds()) == [
                Build(PLAIN, START, "answering", None),
                Build(NEXT, START, "building", NOON),
            ]

    async def test_builds_have_views_checkpoints_and_letters_of_their_own(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN])
            await store.build(NEXT, NOON)
            assert await store.commit(PLAIN, ViewChanges(START, FIRST, (StoredView("k", b"old"),), ()))
            kept = (letter("l", 2, "a bug"),)
            put = (StoredView("k", b"new", (5,)),)
            assert await store.commit(NEXT, ViewChanges(START, _at(3), put, (), 0, kept))
            assert dict(await store.load(PLAIN, ["k"])) == {"k": b"old"}
            assert dict(await store.load(NEXT, ["k"])) == {"k": b"new"}
            assert (dict(await store.parked(PLAIN)), dict(await store.parked(NEXT))) == ({}, {"l": 1})
            assert list(await store.letters(NEXT, limit=9)) == list(kept)
            async with store.snapshot() as reader:
                assert (await reader.checkpoint(PLAIN), await reader.checkpoint(NEXT)) == (FIRST, _at(3))
                assert list(await reader.find(NEXT, {}, "size", False, 9)) == [("k", b"new")]
                assert await reader.get(PLAIN, "k") == b"old"
                assert (list(await reader.letters(PLAIN, 1, 9)), list(await reader.letters(NEXT, 1, 9))) == (
                    [],
                    list(kept),
                )

    async def test_another_one_answers_once_it_has_come_as_far(self, new_store: NewViewStore) -> None:
        store = new_store()
        async with store:
            await store.prepare([PLAIN])
            await store.build(NEXT, NOON)
            await store.commit(PLAIN, ViewChanges(START, FIRST, (), ()))
            await store.commit(NEXT, ViewChanges(START, _at(6), (), ()))
            assert not await store.switch(NEXT, 0, PLAIN, LATER)
            assert [one.state for one in await store.builds()] == ["answering", "building"]
            await store.commit(NEXT, ViewChanges(_at(6), _at(7), (), ()))
            assert await store.switch(NEXT, 0, PLAIN, LATER)
            switched = [Build(PLAIN, FIRST, "replaced", LATER), Build(NEXT, _at(7), "answering", LATER)]
            assert list(await store.builds()) == switched
            # Asked again, since nobody heard the answer.
            assert await store.switch(NEXT, 0, PLAIN, LATER + timedelta(hours=1))
            assert list(await store.builds()) == switched
        async with store:
            assert list(await store.builds()) == switched

    async def test_what_was_replaced_goes_on_and_may_answer_again(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN])
            await store.build(SECOND, NOON)
            assert await store.switch(SECOND, 0, PLAIN, NOON)
            assert await store.commit(PLAIN, ViewChanges(START, FIRST, (StoredView("k", b"1"),), ()))
            assert await store.switch(PLAIN, 0, SECOND, LATER)
            assert list(await store.builds()) == [
                Build(PLAIN, FIRST, "answering", LATER),
                Build(SECOND, START, "replaced", LATER),
            ]

    async def test_nothing_is_switched_to_what_is_not_there(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN])
            assert not await store.switch(NEXT, 0, PLAIN, NOON)
            assert list(await store.builds()) == [Build(PLAIN, START, "answering", None)]

    async def test_what_is_not_there_hinders_no_switch(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await store.build(NEXT, NOON)
            assert await store.switch(NEXT, 0, PLAIN, LATER)
            assert list(await store.builds()) == [Build(NEXT, START, "answering", LATER)]

    async def test_nothing_takes_the_place_of_what_is_gone_while_another_one_answers(
        self, new_store: NewViewStore
    ) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN])
            await store.build(NEXT, NOON)
            assert not await store.switch(NEXT, 0, SECOND, LATER)
            assert [one.state for one in await store.builds()] == ["answering", "building"]

    async def test_what_was_dropped_is_not_known_and_not_made_anew(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN])
            await store.build(NEXT, NOON)
            assert await store.commit(PLAIN, ViewChanges(START, FIRST, (), ()))
            assert dict(await store.known([PLAIN, NEXT, SECOND])) == {PLAIN: FIRST, NEXT: START}
            await store.drop(NEXT)
            assert dict(await store.known([NEXT, PLAIN])) == {PLAIN: FIRST}
            with pytest.raises(ViewsDropped, match="are no longer there"):
                await store.reindex(NEXT, lambda payload: (), 9)
            assert [one.table for one in await store.builds()] == [PLAIN]

    async def test_what_does_not_answer_is_replaced_by_nobody(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN])
            await store.build(NEXT, NOON)
            await store.build(SECOND, NOON)
            assert not await store.switch(SECOND, 0, NEXT, LATER)
            assert [one.state for one in await store.builds()] == ["answering", "building", "building"]

    @pytest.mark.parametrize("table", [NEXT, SECOND])
    async def test_what_was_dropped_is_gone_with_all_it_had(self, new_store: NewViewStore, table: ViewTable) -> None:
        store = new_store()
        async with store:
            await store.prepare([PLAIN])
            await store.build(table, NOON)
            kept = (letter("l", 2, "a bug", table),)
            await store.commit(table, ViewChanges(START, _at(3), (StoredView("k", b"1", (5,)),), (), 0, kept))
            await store.tell(table, _standing(1))
            assert await store.drop(table)
            assert await store.drop(table)
            assert list(await store.builds()) == [Build(PLAIN, START, "answering", None)]
            await store.build(table, LATER)
            assert list(await store.builds())[1:] == [Build(table, START, "building", LATER)]
            assert (dict(await store.load(table, ["k"])), dict(await store.parked(table))) == ({}, {})
            assert await store.drop(table)
        async with store:
            assert list(await store.builds()) == [Build(PLAIN, START, "answering", None)]

    async def test_what_answers_is_not_dropped(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN])
            await store.build(NEXT, NOON)
            assert not await store.drop(PLAIN)
            assert await store.switch(NEXT, 0, PLAIN, NOON)
            assert not await store.drop(NEXT)
            assert await store.drop(PLAIN)
            assert [one.table for one in await store.builds()] == [NEXT]

    async def test_an_earlier_version_that_nobody_replaced_may_be_dropped(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN, SECOND])
            assert not await store.drop(SECOND)
            assert await store.drop(PLAIN)
            assert [one.table for one in await store.builds()] == [SECOND]

    async def test_whoever_uses_what_was_dropped_is_told(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN])
            await store.build(NEXT, NOON)
            assert await store.drop(NEXT)
            with pytest.raises(Unusable, match="were dropped"):
                await store.commit(NEXT, ViewChanges(START, FIRST, (StoredView("k", b"1", (5,)),), ()))
            with pytest.raises(Unusable, match="were dropped"):
                await store.load(NEXT, ["k"])
            async with store.snapshot() as reader:
                with pytest.raises(Unusable, match="were dropped"):
                    await reader.get(NEXT, "k")
            async with store.snapshot() as reader:
                with pytest.raises(Unusable, match="were dropped"):
                    await reader.find(NEXT, {}, None, False, 9)
            async with store.snapshot() as reader:
                with pytest.raises(Unusable, match="were dropped"):
                    await reader.checkpoint(NEXT)
            assert dict(await store.claim([NEXT, PLAIN], "me", HOUR_S)).keys() == {PLAIN}
            await store.release([NEXT, PLAIN], "me")
            assert not await store.switch(NEXT, 0, PLAIN, NOON)

    async def test_what_was_told_of_a_table_last_is_kept(self, new_store: NewViewStore) -> None:
        store = new_store()
        async with store:
            await store.prepare([PLAIN, BOARD])
            await store.tell(PLAIN, _standing(1))
            await store.tell(PLAIN, _standing(2))
        async with store:
            assert list(await store.builds()) == [
                Build(BOARD, START, "answering", None),
                Build(PLAIN, START, "answering", None, _standing(2)),
            ]


class SharedBuildLaws:
    """Needs a fixture `new_pair`."""

    async def test_a_build_is_leased_like_any_table(self, new_pair: NewPair) -> None:
        one, other = new_pair()
        async with one, other:
            await one.prepare([PLAIN])
            await one.build(NEXT, NOON)
            await other.prepare([PLAIN, NEXT])
            assert dict(await one.claim([NEXT], "first", HOUR_S)) == {NEXT: Claim("first", 1, START)}
            assert dict(await other.claim([PLAIN, NEXT], "second", HOUR_S)) == {
                PLAIN: Claim("second", 1, START),
                NEXT: Claim("first", 1, START),
            }

    async def test_only_who_holds_the_lease_switches(self, new_pair: NewPair) -> None:
        one, other = new_pair()
        async with one, other:
            await one.prepare([PLAIN])
            await one.build(NEXT, NOON)
            await other.prepare([PLAIN, NEXT])
            old = (await one.claim([NEXT], "first", 0.0))[NEXT]
            new = (await other.claim([NEXT], "second", HOUR_S))[NEXT]
            assert not await one.switch(NEXT, old.epoch, PLAIN, LATER)
            assert [build.state for build in await one.builds()] == ["answering", "building"]
            assert await other.switch(NEXT, new.epoch, PLAIN, LATER)
            assert [build.state for build in await one.builds()] == ["replaced", "answering"]

    async def test_what_one_has_dropped_is_gone_for_the_other(self, new_pair: NewPair) -> None:
        one, other = new_pair()
        async with one, other:
            await _both_have(one, other)
            epoch = (await other.claim([NEXT], "second", HOUR_S))[NEXT].epoch
            assert await one.drop(NEXT)
            with pytest.raises(Unusable, match="were dropped"):
                await other.commit(NEXT, ViewChanges(START, FIRST, (StoredView("k", b"1", (5,)),), (), epoch))
            with pytest.raises(Unusable, match="were dropped"):
                await other.load(NEXT, ["k"])
            async with other.snapshot() as reader:
                with pytest.raises(Unusable, match="were dropped"):
                    await reader.get(NEXT, "k")
            assert dict(await other.claim([NEXT], "second", HOUR_S)) == {}
            await other.release([NEXT], "second")
            assert [build.table for build in await other.builds()] == [PLAIN]

    async def test_what_was_built_anew_after_a_drop_is_nobody_s(self, new_pair: NewPair) -> None:
        one, other = new_pair()
        async with one, other:
            await _both_have(one, other)
            await other.claim([NEXT], "second", HOUR_S)
            assert await one.drop(NEXT)
            await one.build(NEXT, LATER)
            assert (await one.claim([NEXT], "first", HOUR_S))[NEXT].owner == "first"
            await other.prepare([NEXT])
            assert (await other.claim([NEXT], "second", HOUR_S))[NEXT].owner == "first"

    async def test_who_held_what_was_dropped_changes_nothing_of_what_was_built_anew(self, new_pair: NewPair) -> None:
        one, other = new_pair()
        async with one, other:
            await _both_have(one, other)
            old = (await other.claim([NEXT], "second", HOUR_S))[NEXT].epoch
            put = (StoredView("k", b"1", (5,)),)
            assert await one.drop(NEXT)
            await one.build(NEXT, LATER)
            # A look at what there is shows a table of that name.
            await other.builds()
            assert not await _is_changed(other, ViewChanges(START, FIRST, put, (), old))
            assert not await other.switch(NEXT, old, PLAIN, LATER)
            new = (await one.claim([NEXT], "first", HOUR_S))[NEXT].epoch
            assert not await _is_changed(other, ViewChanges(START, FIRST, put, (), old))
            assert not await other.switch(NEXT, old, PLAIN, LATER)
            assert [build.state for build in await one.builds()] == ["answering", "building"]
            assert await one.commit(NEXT, ViewChanges(START, FIRST, put, (), new))
            # What was built from the same events has the same checkpoints.
            assert not await _is_changed(other, ViewChanges(FIRST, _at(8), put, (), old))

    async def test_no_epoch_comes_again_however_often_a_table_is_made_anew(self, new_pair: NewPair) -> None:
        one, other = new_pair()
        async with one, other:
            await _both_have(one, other)
            epochs = list[int]()
            for owner in ("first", "second", "first"):
                epochs += [(await one.claim([NEXT], name, 0.0))[NEXT].epoch for name in (owner, "third")]
                assert await one.drop(NEXT)
                await one.build(NEXT, LATER)
            await one.drop(NEXT)
            await one.prepare([NEXT])
            epochs.append((await one.claim([NEXT], "first", 0.0))[NEXT].epoch)
            assert epochs == sorted(set(epochs))


async def _is_changed(store: ViewStore, changes: ViewChanges) -> bool:
    """By who may have been told that the table was dropped."""
    try:
        return await store.commit(NEXT, changes)
    except ViewsDropped:
        return False


async def _both_have(one: ViewStore, other: ViewStore) -> None:
    await one.prepare([PLAIN])
    await one.build(NEXT, NOON)
    await other.prepare([PLAIN, NEXT])


def _at(position: int) -> Checkpoint:
    return Checkpoint(position, "store", "a-1", position)


def _standing(number: int) -> Standing:
    return Standing(
        told_at=NOON + timedelta(seconds=number),
        owner="host:1",
        events_per_s=0.5,
        batch_events=12.25,
        attempts=number,
        parked_keys=3,
        last_error='ValueError: "é" 😀',
        stopped=None,
        retries=7,
        drops_at=NOON,
    )
