"""The laws of finding: conditions, orders and places mean the same in every view store."""

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bus.core.finding import Among, Condition, Interval, Place, Where
from bus.core.projection import IndexValue
from bus.core.stored import Checkpoint, StoredView, ViewChanges, ViewTable
from bus.ports import ViewStore
from tests.contracts.view_store import START, NewViewStore

ROWS = ViewTable("rows", 1, ("a", "b"))
Rows = Mapping[str, tuple[IndexValue, IndexValue]]

VALUES: Sequence[IndexValue] = [
    *(None, float("-inf"), -(2**63), -5, -0.5, 0, 1, 1.5, 2, 5, 2**53, 2**53 + 1, 2.0**62, 2**62, 2**62 + 1, 2**63 - 1),
    *(2.0**63, 1e308, float("inf"), "", "1", "A", "Aa", "a", "x", "é", "\uffff", "😀"),
]
"""In the order of the laws, by hand. Among them are neighbours that a lazy comparison takes for equal."""

values = st.sampled_from(VALUES)
keys = st.sampled_from(["A", "a", "aa", "b", "é", "z", "\uffff", "😀"])
rows = st.dictionaries(keys, st.tuples(values, values), max_size=8)
bounds = st.sampled_from(VALUES[1:])
conditions: st.SearchStrategy[IndexValue | Condition] = (
    values
    | st.lists(values, max_size=4).map(lambda some: Among(tuple(some)))
    | st.builds(Interval, st.none() | bounds, st.none() | bounds, st.booleans(), st.booleans())
)
wheres = st.dictionaries(st.sampled_from(["a", "b"]), conditions, max_size=2)


class Question(NamedTuple):
    """What is asked, save for where to begin and end."""

    where: Where
    order_by: str | None
    descending: bool = False

    def place(self, rows: Rows, key: str) -> Place:
        """Of one of the rows."""
        return Place(None if self.order_by is None else rows[key]["ab".index(self.order_by)], key)


questions = st.builds(Question, wheres, st.sampled_from([None, "a", "b"]), st.booleans())


class ViewFindingLaws:
    """Needs a fixture `new_store`."""

    @pytest.fixture
    async def filled(self, new_store: NewViewStore) -> AsyncIterator["Filled"]:
        async with new_store() as store:
            await store.prepare([ROWS])
            yield Filled(store)

    @pytest.mark.parametrize(
        ("where", "keys"),
        [
            ({"a": Among(())}, ""),
            ({"a": Among((1,))}, "bc"),
            ({"a": Among((1.0, "x", 1, "x"))}, "bce"),
            ({"a": Among((None, 2))}, "ad"),
            ({"a": Among((None,))}, "a"),
            ({"a": Among(("EWR\0", "EWR\ud800", 2**70, "x"))}, "e"),
            ({"a": Interval()}, "bcdef"),
            ({"a": Interval(1)}, "bcdef"),
            ({"a": Interval(1, low_inside=False)}, "def"),
            ({"a": Interval(high=2)}, "bcd"),
            ({"a": Interval(high=2, high_inside=False)}, "bc"),
            ({"a": Interval(2, "x")}, "de"),
            ({"a": Interval("", None)}, "ef"),
            ({"a": Interval(None, "", high_inside=False)}, "bcd"),
            ({"a": Interval(5, 1)}, ""),
            ({"a": Interval(1), "b": "two"}, "cde"),
            ({"a": Interval(1), "b": Interval("two")}, "cde"),
            ({"a": Among((1, "y")), "b": Among(("one", "three"))}, "bf"),
        ],
    )
    async def test_views_are_found_by_one_of_several_values_and_between_two(
        self, filled: "Filled", where: Where, keys: str
    ) -> None:
        board: Rows = {
            "a": (None, "one"),
            "b": (1, "one"),
            "c": (1, "two"),
            "d": (2, "two"),
            "e": ("x", "two"),
            "f": ("y", "three"),
        }
        await filled.hold(board)
        assert "".join(await filled.answer(Question(where, None))) == keys

    async def test_a_place_need_not_be_a_view(self, filled: "Filled") -> None:
        await filled.hold({"a": (1, None), "c": (1, None), "d": (3, None)})
        up, down, by_key = Question({}, "a"), Question({}, "a", True), Question({}, None)
        assert await filled.answer(up, after=Place(1, "b")) == ["c", "d"]
        assert await filled.answer(up, after=Place(2, "x")) == ["d"]
        assert await filled.answer(up, after=Place(4, "")) == []
        assert await filled.answer(down, after=Place(2, "x")) == ["a", "c"]
        assert await filled.answer(by_key, after=Place(None, "b")) == ["c", "d"]

    @given(rows, questions, st.integers(0, 9), st.none() | st.builds(Place, values, keys))
    @settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @example({"a": (2**62, 1), "b": (2.0**62, 1), "z": (2**62 + 1, 1)}, Question({}, "a"), 9, Place(2.0**62, "a"))
    @example({"a": (None, 1), "b": (None, 1), "z": ("x", 1)}, Question({}, "a", True), 9, Place("x", "z"))
    @example({"a": (5, 1), "z": (None, 1)}, Question({"a": Interval(5)}, "a", True), 9, Place("a", "b"))
    @example({"a": (1, 1), "b": (1, 1), "é": (2, 1), "z": (5, 1)}, Question({"a": Interval(1)}, "a"), 2, Place(1, "a"))
    @example({"a": (1, 1), "b": (1, 1), "é": (2, 1), "z": (5, 1)}, Question({"a": Interval(1)}, "a"), 9, Place(1, "b"))
    async def test_what_is_found_is_what_a_plain_model_finds(
        self, filled: "Filled", rows: Rows, question: Question, limit: int, after: Place | None
    ) -> None:
        if after is not None and question.order_by is None:
            after = Place(None, after.key)
        await filled.hold(rows)
        assert await filled.answer(question, limit, after) == _model(rows, question, after)[:limit]

    @given(rows, questions, st.integers(1, 3))
    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    async def test_pages_visit_each_view_once_in_order(
        self, filled: "Filled", rows: Rows, question: Question, size: int
    ) -> None:
        await filled.hold(rows)
        visited: list[str] = []
        after: Place | None = None
        while page := await filled.answer(question, size, after):
            assert len(visited) <= len(rows)
            visited += page
            after = question.place(rows, page[-1])
        assert visited == _model(rows, question, None)

    @given(rows, st.lists(rows, max_size=6), questions, st.integers(1, 3))
    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    async def test_pages_visit_each_view_once_that_keeps_its_place_whatever_comes_and_goes(
        self, filled: "Filled", kept: Rows, others: list[Rows], question: Question, size: int
    ) -> None:
        meanwhile = itertools.cycle([{**other, **kept} for other in others] or [kept])
        visited: list[str] = []
        after: Place | None = None
        while True:
            rows = next(meanwhile)
            await filled.hold(rows)
            page = await filled.answer(question, size, after)
            if not page:
                break
            assert len(visited) <= len(kept) + sum(map(len, others))
            visited += page
            after = question.place(rows, page[-1])
        assert [key for key in visited if key in kept] == _model(kept, question, None)


class Filled:
    """An open store, whose views are replaced by those of each example."""

    def __init__(self, store: ViewStore) -> None:
        self._store = store
        self._at = START
        self._keys: set[str] = set()

    async def hold(self, rows: Rows) -> None:
        put = tuple([StoredView(key, key.encode(), values) for key, values in rows.items()])
        then = Checkpoint(self._at.position + 1, "store", "a-1", 1)
        changes = ViewChanges(self._at, then, put, tuple(self._keys - rows.keys()))
        assert await self._store.commit(ROWS, changes)
        self._at, self._keys = then, set(rows)

    async def answer(self, question: Question, limit: int = 99, after: Place | None = None) -> list[str]:
        async with self._store.snapshot() as reader:
            where, order_by, descending = question
            return [key for key, _ in await reader.find(ROWS, where, order_by, descending, limit, after=after)]


def _model(rows: Rows, question: Question, after: Place | None) -> list[str]:
    """The laws, said once more and plainly: nothing here is shared with any store."""
    where, order_by, descending = question

    def value(key: str, name: str) -> IndexValue:
        return rows[key]["ab".index(name)]

    def rung(key: str) -> int:
        return 0 if order_by is None else _rung(value(key, order_by))

    found = sorted(key for key in rows if all(_is_wanted(value(key, name), where[name]) for name in where))
    found.sort(key=rung, reverse=descending)
    if after is None:
        return found
    last = 0 if order_by is None else _rung(after.value)

    def is_past(key: str) -> bool:
        return rung(key) < last if descending else rung(key) > last

    return [key for key in found if is_past(key) or (rung(key) == last and key > after.key)]


def _is_wanted(value: IndexValue, condition: object) -> bool:
    match condition:
        case Among(some):
            return _rung(value) in [_rung(one) for one in some]
        case Interval(low, high, low_inside, high_inside):
            if value is None:
                return False
            above = low is None or _rung(value) > _rung(low) or (low_inside and _rung(value) == _rung(low))
            return above and (
                high is None or _rung(value) < _rung(high) or (high_inside and _rung(value) == _rung(high))
            )
        case _:
            return _rung(value) == _rung(condition)


def _rung(value: object) -> int:
    """The place of a value in the order; equal values share one."""
    return next(place for place, one in enumerate(VALUES) if one == value)
