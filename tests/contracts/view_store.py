"""The laws of a view store. An adapter's tests inherit the class and name the store."""

from collections.abc import Callable, Mapping

import msgspec
import pytest

from bus.core.errors import StoreInUse, StoreUnavailable
from bus.core.projection import IndexValue
from bus.core.stored import Checkpoint, Claim, StoredView, ViewChanges, ViewTable
from bus.ports import ViewStore

NewViewStore = Callable[[], ViewStore]
"""Makes a store that holds nothing and is not open; another one each time."""

PLAIN = ViewTable("plain", 1)
BOARD = ViewTable("board", 1, ("origin", "at"))
START = Checkpoint()
FIRST = Checkpoint(7, "store", "a-1", 3)


class ViewStoreLaws:
    """Needs a fixture `new_store`."""

    async def test_views_begin_at_no_position(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            assert dict(await store.prepare([PLAIN, BOARD])) == {PLAIN: START, BOARD: START}
            assert dict(await store.load(PLAIN, ["k"])) == {}

    async def test_rows_and_checkpoint_are_there_after_a_commit(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN])
            assert await store.commit(PLAIN, _changes(START, FIRST, {"k": b"1", "l": b"\0\xff"}))
            assert dict(await store.load(PLAIN, ["l", "none", "k", "k"])) == {"k": b"1", "l": b"\0\xff"}
            assert dict(await store.load(PLAIN, [])) == {}
            async with store.snapshot() as reader:
                assert await reader.checkpoint(PLAIN) == FIRST
                assert await reader.get(PLAIN, "k") == b"1"
                assert await reader.get(PLAIN, "none") is None

    async def test_rows_and_checkpoint_survive_closing(self, new_store: NewViewStore) -> None:
        store = new_store()
        async with store:
            await store.prepare([PLAIN, BOARD])
            await store.commit(PLAIN, _changes(START, FIRST, {"k": b"1"}))
        async with store:
            assert dict(await store.prepare([BOARD, PLAIN])) == {PLAIN: FIRST, BOARD: START}
            assert dict(await store.load(PLAIN, ["k"])) == {"k": b"1"}

    @pytest.mark.parametrize(
        "expected",
        [
            START,
            Checkpoint(8, "store", "a-1", 3),
            Checkpoint(7, "other", "a-1", 3),
            Checkpoint(7, "store", "a-2", 3),
            Checkpoint(7, "store", "a-1", 2),
        ],
    )
    async def test_a_commit_on_another_checkpoint_writes_nothing(
        self, new_store: NewViewStore, expected: Checkpoint
    ) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN])
            await store.commit(PLAIN, _changes(START, FIRST, {"k": b"1"}))
            changes = ViewChanges(expected, Checkpoint(9, "store", "a-1", 4), (StoredView("new", b"2"),), ("k",))
            assert not await store.commit(PLAIN, changes)
            assert dict(await store.load(PLAIN, ["k", "new"])) == {"k": b"1"}
            assert dict(await store.prepare([PLAIN])) == {PLAIN: FIRST}

    async def test_a_view_is_replaced_and_removed(self, new_store: NewViewStore) -> None:
        second, third = Checkpoint(8, "store", "a-1", 4), Checkpoint(9, "store", "a-1", 5)
        async with new_store() as store:
            await store.prepare([PLAIN])
            await store.commit(PLAIN, _changes(START, FIRST, {"k": b"1", "l": b"1"}))
            await store.commit(PLAIN, _changes(FIRST, second, {"k": b"2"}))
            assert dict(await store.load(PLAIN, ["k", "l"])) == {"k": b"2", "l": b"1"}
            await store.commit(PLAIN, ViewChanges(second, third, (), ("k", "none")))
            assert dict(await store.load(PLAIN, ["k", "l"])) == {"l": b"1"}

    @pytest.mark.parametrize("rows", [1, 64, 65, 257, 1_000])
    async def test_any_number_of_views_is_committed_loaded_and_removed(
        self, new_store: NewViewStore, rows: int
    ) -> None:
        views = {f"key-{number}": str(number).encode() for number in range(rows)}
        async with new_store() as store:
            await store.prepare([PLAIN])
            await store.commit(PLAIN, _changes(START, FIRST, views))
            assert dict(await store.load(PLAIN, list(views))) == views
            await store.commit(PLAIN, ViewChanges(FIRST, START, (), tuple(views)[1:]))
            assert dict(await store.load(PLAIN, list(views))) == {"key-0": b"0"}

    async def test_each_version_of_a_projection_has_views_of_its_own(self, new_store: NewViewStore) -> None:
        second = ViewTable("plain", 2, ("origin",))
        async with new_store() as store:
            await store.prepare([PLAIN])
            await store.commit(PLAIN, _changes(START, FIRST, {"k": b"1"}))
            assert dict(await store.prepare([second, PLAIN])) == {second: START, PLAIN: FIRST}
            assert dict(await store.load(second, ["k"])) == {}

    async def test_views_are_found_by_the_fields_that_equal(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await _board(store, {"a": ("EWR", 1), "b": ("JFK", 1), "c": ("EWR", 2), "d": (None, 1), "e": ("1", 1.0)})
            assert await _find(store, {}) == ["a", "b", "c", "d", "e"]
            assert await _find(store, {"origin": "EWR"}) == ["a", "c"]
            assert await _find(store, {"origin": "EWR", "at": 2}) == ["c"]
            assert await _find(store, {"origin": None}) == ["d"]
            assert await _find(store, {"at": 1}) == ["a", "b", "d", "e"]
            assert await _find(store, {"at": "1"}) == []
            assert await _find(store, {"origin": 1}) == []
            assert await _find(store, {"origin": "ewr"}) == []
            assert await _find(store, {"origin": "EWR\0"}) == []
            assert await _find(store, {"origin": "EWR\ud800"}) == []

    async def test_none_sorts_before_numbers_before_texts_by_code_point(self, new_store: NewViewStore) -> None:
        values: list[IndexValue] = [None, -5, 1, 1.5, 2, 10, 2**62, 2**62 + 1, "", "1", "A", "a", "é", "\uffff", "😀"]
        ranked = {f"{(number * 7) % 15:02}": ("EWR", value) for number, value in enumerate(values)}
        async with new_store() as store:
            await _board(store, ranked)
            assert await _find(store, {}, "at") == list(ranked)
            assert await _find(store, {}, "at", descending=True) == list(ranked)[::-1]
            assert await _find(store, {"origin": "EWR"}, "at", limit=3) == list(ranked)[:3]

    @pytest.mark.parametrize("descending", [False, True])
    async def test_ties_come_in_the_order_of_keys(self, new_store: NewViewStore, descending: bool) -> None:
        async with new_store() as store:
            await _board(store, {"c": ("EWR", 1), "a": ("EWR", 1), "d": ("JFK", 1), "b": ("EWR", 1)})
            assert await _find(store, {}, "at", descending=descending) == ["a", "b", "c", "d"]
            assert await _find(store, {"origin": "EWR"}, "at", descending=descending, limit=2) == ["a", "b"]

    async def test_a_replaced_view_is_found_by_its_new_fields_only(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await _board(store, {"a": ("EWR", 1), "b": ("EWR", 2)})
            changes = ViewChanges(FIRST, START, (StoredView("a", b"a", ("JFK", 3)),), ("b",))
            await store.commit(BOARD, changes)
            assert await _find(store, {"origin": "EWR"}) == []
            assert await _find(store, {"origin": "JFK", "at": 3}) == ["a"]

    async def test_a_snapshot_stays_as_it_was_whatever_is_committed(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN, BOARD])
            await store.commit(PLAIN, _changes(START, FIRST, {"k": b"1"}))
            async with store.snapshot() as old:
                changes = ViewChanges(FIRST, Checkpoint(8, "store", "a-1", 4), (StoredView("new", b"2"),), ("k",))
                assert await store.commit(PLAIN, changes)
                assert await store.commit(BOARD, ViewChanges(START, FIRST, (StoredView("b", b"b", ("EWR", 1)),), ()))
                assert await old.get(PLAIN, "k") == b"1"
                assert await old.get(PLAIN, "new") is None
                assert await old.checkpoint(PLAIN) == FIRST
                assert await old.checkpoint(BOARD) == START
                assert list(await old.find(BOARD, {}, None, False, 9)) == []
                async with store.snapshot() as new:
                    assert await new.get(PLAIN, "k") is None
                    assert await new.get(PLAIN, "new") == b"2"
                    assert list(await new.find(BOARD, {}, None, False, 9)) == [("b", b"b")]

    @pytest.mark.parametrize("fault", ["nul\0", "surrogate\ud800"])
    async def test_a_view_that_cannot_be_stored_is_an_error_and_nothing_is_written(
        self, new_store: NewViewStore, fault: str
    ) -> None:
        bad = (StoredView(fault, b"x", ("EWR", 1)), StoredView("key", b"x", (fault, 1)))
        async with new_store() as store:
            await store.prepare([BOARD])
            for view in bad:
                changes = ViewChanges(START, FIRST, (StoredView("good", b"x", ("EWR", 1)), view), ())
                with pytest.raises(ValueError, match="board"):
                    await store.commit(BOARD, changes)
            assert dict(await store.prepare([BOARD])) == {BOARD: START}
            assert dict(await store.load(BOARD, ["good", fault])) == {}
            async with store.snapshot() as reader:
                assert await reader.get(BOARD, fault) is None

    async def test_names_that_mean_something_elsewhere_mean_nothing(self, new_store: NewViewStore) -> None:
        names = ("a", "A", "key", "payload", "select", "rowid", "naïve", 'x"; DROP TABLE y; --')
        hostile = ViewTable("it's \"; DROP TABLE projections; --", 1, names)
        upper = ViewTable("PLAIN", 1)
        key = "k'; DROP TABLE x; --"
        async with new_store() as store:
            await store.prepare([hostile, PLAIN, upper])
            values = tuple(range(len(names)))
            assert await store.commit(hostile, ViewChanges(START, FIRST, (StoredView(key, b"1", values),), ()))
            assert await store.commit(upper, _changes(START, FIRST, {"k": b"upper"}))
            assert dict(await store.load(PLAIN, ["k"])) == {}
            assert dict(await store.load(hostile, [key])) == {key: b"1"}
            async with store.snapshot() as reader:
                for place, name in enumerate(names):
                    assert list(await reader.find(hostile, {name: place}, name, False, 9)) == [(key, b"1")]
                    assert list(await reader.find(hostile, {name: place + 1}, name, False, 9)) == []

    async def test_a_claim_tells_the_checkpoint_and_a_single_bus_always_has_it(self, new_store: NewViewStore) -> None:
        store = new_store()
        async with store:
            await store.prepare([PLAIN])
            first = (await store.claim([PLAIN], "first", 3600))[PLAIN]
            assert (first.owner, first.checkpoint) == ("first", START)
            changes = ViewChanges(START, FIRST, (), (), first.epoch)
            assert await store.commit(PLAIN, changes)
            assert (await store.claim([PLAIN], "first", 3600))[PLAIN] == Claim("first", first.epoch, FIRST)
            if not store.shared:
                assert (await store.claim([PLAIN], "second", 3600))[PLAIN].owner == "second"
            await store.release([PLAIN], "first")
            assert (await store.claim([PLAIN], "third", 3600))[PLAIN].owner == "third"

    async def test_a_store_that_is_not_open_says_so(self, new_store: NewViewStore) -> None:
        store = new_store()
        async with store:
            await store.prepare([PLAIN])
        with pytest.raises(StoreUnavailable, match="not open"):
            await store.prepare([PLAIN])
        with pytest.raises(StoreUnavailable, match="not open"):
            await store.claim([PLAIN], "owner", 1)
        with pytest.raises(StoreUnavailable, match="not open"):
            await store.release([PLAIN], "owner")
        with pytest.raises(StoreUnavailable, match="not open"):
            async with store.snapshot():
                pass

    async def test_a_store_in_use_is_refused_to_a_second_bus_and_serves_the_first(
        self, new_store: NewViewStore
    ) -> None:
        store = new_store()
        async with store:
            with pytest.raises(StoreInUse):
                await store.__aenter__()
            assert dict(await store.prepare([PLAIN])) == {PLAIN: START}


def _changes(expected: Checkpoint, checkpoint: Checkpoint, views: Mapping[str, bytes]) -> ViewChanges:
    return ViewChanges(expected, checkpoint, tuple([StoredView(key, payload) for key, payload in views.items()]), ())


async def _board(store: ViewStore, views: Mapping[str, tuple[IndexValue, ...]]) -> None:
    """Views whose payload is their key."""
    await store.prepare([BOARD])
    put = tuple([StoredView(key, key.encode(), values) for key, values in views.items()])
    assert await store.commit(BOARD, msgspec.structs.replace(_changes(START, FIRST, {}), put=put))


async def _find(
    store: ViewStore,
    where: Mapping[str, IndexValue],
    order_by: str | None = None,
    *,
    descending: bool = False,
    limit: int = 99,
) -> list[str]:
    async with store.snapshot() as reader:
        found = await reader.find(BOARD, where, order_by, descending, limit)
    assert all(key.encode() == payload for key, payload in found)
    return [key for key, _ in found]
