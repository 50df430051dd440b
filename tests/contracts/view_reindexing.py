"""The laws of reindexing: views get other indexes all at once, and nobody reads or writes them by the old ones."""

from collections.abc import Mapping

import pytest

from bus.core.errors import Unusable
from bus.core.projection import IndexValue
from bus.core.stored import Checkpoint, StoredView, ViewChanges, ViewTable
from bus.ports import ViewStore
from tests.contracts.letters import letter
from tests.contracts.view_store import FIRST, PLAIN, START, NewViewStore

OLD = ViewTable("rows", 1, ("size",))
NEW = ViewTable("rows", 1, ("text", "size"))
SECOND = Checkpoint(8, "store", "a-1", 4)


def old_values(payload: bytes) -> tuple[IndexValue, ...]:
    return (len(payload),)


def new_values(payload: bytes) -> tuple[IndexValue, ...]:
    return payload.decode(), len(payload)


class ViewReindexingLaws:
    """Needs a fixture `new_store`."""

    @pytest.mark.parametrize("views_max", [1, 3, 1_000])
    async def test_views_are_kept_and_found_by_the_new_indexes(self, new_store: NewViewStore, views_max: int) -> None:
        store = new_store()
        async with store:
            await _fill(store)
        async with store:
            assert dict(await store.prepare([NEW, PLAIN])) == {NEW: FIRST, PLAIN: START}
            await store.reindex(NEW, new_values, views_max)
            assert dict(await store.prepare([NEW])) == {NEW: FIRST}
            assert dict(await store.load(NEW, ["a", "b"])) == {"a": b"x", "b": b"xyz"}
            assert await _found(store, NEW, {"text": "xyz"}) == ["b"]
            assert await _found(store, NEW, {}, "size") == ["a", "e", "c", "d", "b"]
            changes = ViewChanges(FIRST, SECOND, (StoredView("a", b"wxyz", ("wxyz", 4)),), ("b",))
            assert await store.commit(NEW, changes)
            assert await _found(store, NEW, {}, "size") == ["e", "c", "d", "a"]
        async with store:
            assert dict(await store.prepare([NEW])) == {NEW: SECOND}
            assert await _found(store, NEW, {"text": "wxyz"}) == ["a"]

    async def test_letters_are_kept_and_the_lease_is_free(self, new_store: NewViewStore) -> None:
        parked = (letter("a", 5, "a bug", OLD), letter("a", 6, None, OLD))
        async with new_store() as store:
            await _fill(store)
            epoch = (await store.claim([OLD], "old", 3600))[OLD].epoch
            assert await store.commit(OLD, ViewChanges(FIRST, FIRST, (), (), epoch, parked))
            await store.prepare([NEW, PLAIN])
            await store.reindex(NEW, new_values, 2)
            assert list(await store.letters(NEW, limit=9)) == list(parked)
            taken = (await store.claim([NEW], "new", 3600))[NEW]
            assert (taken.owner, taken.checkpoint) == ("new", FIRST)
            if store.shared:
                # Another process may still ask by the old ones, and loses nothing else by it.
                assert (await store.claim([PLAIN, OLD], "old", 3600))[OLD].owner == ""
                await store.release([OLD], "old")

    async def test_indexes_may_be_added_dropped_and_exchanged_again_and_again(self, new_store: NewViewStore) -> None:
        other = ViewTable("rows", 1, ("text",))
        async with new_store() as store:
            await _fill(store)
            for _ in range(2):
                for table, values, first in (
                    (NEW, new_values, ["a", "b"]),
                    (other, lambda payload: (payload.decode(),), ["a", "b"]),
                    (OLD, old_values, ["a", "e"]),
                ):
                    await store.reindex(table, values, 2)
                    assert await _found(store, table, {}, table.fields[0], 2) == first
            third = ViewTable("third", 1, ("size",))
            assert dict(await store.prepare([third, OLD])) == {third: START, OLD: FIRST}
            assert await _found(store, third, {}) == []

    async def test_an_index_of_several_fields_is_kept_and_finds_what_is_found_without_it(
        self, new_store: NewViewStore
    ) -> None:
        both = ViewTable("rows", 1, ("text", "size", ("size", "text")))
        store = new_store()
        async with store:
            await _fill(store)
            await store.reindex(both, new_values, 2)
            assert await _found(store, both, {"size": 2}, "text") == ["c", "d"]
        async with store:
            assert dict(await store.prepare([both])) == {both: FIRST}
            await store.reindex(both, _fails, 2)
            assert await store.commit(both, ViewChanges(FIRST, SECOND, (StoredView("f", b"xx", ("xx", 2)),), ("c",)))
            assert await _found(store, both, {"size": 2}, "text") == ["f", "d"]
            await store.reindex(NEW, new_values, 2)
            assert await _found(store, NEW, {"size": 2}, "text") == ["f", "d"]

    async def test_views_without_indexes_get_some_and_lose_them(self, new_store: NewViewStore) -> None:
        none = ViewTable("rows", 1)
        async with new_store() as store:
            await _fill(store)
            await store.reindex(none, lambda payload: (), 2)
            assert await _found(store, none, {}) == ["a", "b", "c", "d", "e"]
            await store.reindex(OLD, old_values, 2)
            assert await _found(store, OLD, {"size": 3}) == ["b"]

    async def test_indexes_that_are_these_already_are_left_alone(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await _fill(store)
            await store.reindex(OLD, _fails, 2)
            assert await _found(store, OLD, {"size": 3}) == ["b"]

    async def test_a_failure_in_the_middle_leaves_the_old_indexes(self, new_store: NewViewStore) -> None:
        store = new_store()
        async with store:
            await _fill(store)
            with pytest.raises(ZeroDivisionError):
                await store.reindex(NEW, _fails, 2)
            assert await _found(store, OLD, {"size": 3}) == ["b"]
            assert await store.commit(OLD, ViewChanges(FIRST, SECOND, (StoredView("f", b"", (0,)),), ()))
        async with store:
            assert dict(await store.prepare([OLD])) == {OLD: SECOND}
            assert await _found(store, OLD, {}, "size", 2) == ["f", "a"]

    async def test_a_view_that_cannot_be_indexed_so_is_named_and_nothing_is_changed(
        self, new_store: NewViewStore
    ) -> None:
        async with new_store() as store:
            await _fill(store)
            with pytest.raises(Unusable, match="the view 'b' of 'rows' version 1 cannot be indexed by"):
                await store.reindex(NEW, lambda payload: (payload.decode().replace("y", "\0"), 1), 2)
            assert await _found(store, OLD, {"size": 3}) == ["b"]

    async def test_who_uses_the_table_by_other_indexes_is_refused_and_changes_nothing(
        self, new_store: NewViewStore
    ) -> None:
        changes = ViewChanges(FIRST, SECOND, (StoredView("a", b"", (0,)),), ("b",))
        async with new_store() as store:
            await _fill(store)
            await store.reindex(NEW, new_values, 2)
            with pytest.raises(Unusable, match="indexed"):
                await store.commit(OLD, changes)
            with pytest.raises(Unusable, match="indexed"):
                await store.load(OLD, ["a"])
            async with store.snapshot() as reader:
                with pytest.raises(Unusable, match="indexed"):
                    await reader.find(OLD, {}, None, False, 9)
            async with store.snapshot() as reader:
                with pytest.raises(Unusable, match="indexed"):
                    await reader.get(OLD, "a")
            assert dict(await store.prepare([NEW])) == {NEW: FIRST}
            assert dict(await store.load(NEW, ["a", "b"])) == {"a": b"x", "b": b"xyz"}


async def _fill(store: ViewStore) -> None:
    assert dict(await store.prepare([OLD])) == {OLD: START}
    payloads = {"a": b"x", "b": b"xyz", "c": b"yy", "d": b"zz", "e": b"y"}
    put = tuple([StoredView(key, payload, old_values(payload)) for key, payload in payloads.items()])
    assert await store.commit(OLD, ViewChanges(START, FIRST, put, ()))


async def _found(
    store: ViewStore, table: ViewTable, where: Mapping[str, IndexValue], order_by: str | None = None, limit: int = 9
) -> list[str]:
    async with store.snapshot() as reader:
        return [key for key, _ in await reader.find(table, where, order_by, False, limit)]


def _fails(payload: bytes) -> tuple[IndexValue, ...]:
    return payload.decode(), 1 // (payload != b"zz")
