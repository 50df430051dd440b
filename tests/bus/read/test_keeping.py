"""Keeping: an answer is found by its query's value, dropped by the views that it was read from, and bounded."""

from collections.abc import Callable
from typing import Any

import pytest

from bus import Limits, Query, Views
from bus.read.keeping import Answered, Keeping, Question
from bus.read.progress import Keys


class Get(Query[Any]):
    key: Any = None


class Other(Query[Any]):
    key: Any = None


async def handle(query: Get, views: Views) -> Any: ...


def keep(keeping: Keeping, query: Query[Any], answers_max: int = 10, **keys: set[str] | None) -> Question:
    question = keeping.open(query, handle, answers_max)
    keeping.keep(question, Answered(keys, {}, "value"))
    keeping.close(question)
    return question


def kept(*questions: Question) -> list[Any]:
    return [question.query.key for question in questions if question.kept is not None]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("projection", "changed", "left"),
    [
        ("one", frozenset("a"), ["b"]),
        ("one", frozenset("b"), ["a"]),
        ("one", frozenset("cd"), ["a", "b"]),
        ("one", None, []),
        ("two", frozenset("a"), ["a"]),
        ("one", frozenset(), ["a", "b"]),
        ("none", None, ["a", "b"]),
    ],
)
def test_a_change_drops_the_answers_that_were_read_from_it_and_no_others(
    projection: str, changed: Keys, left: list[str]
) -> None:
    keeping = Keeping(Limits())
    one = keep(keeping, Get("a"), one={"a"})
    other = keep(keeping, Get("b"), one={"b", "e"}, two=None)
    keeping.note(projection, changed)
    assert kept(one, other) == left
    assert keeping.count(Get) == len(left)


def test_everything_is_forgotten_with_the_answers() -> None:
    keeping = Keeping(Limits())
    for number in range(10):
        keep(keeping, Get(number), one={str(number)}, two=None)
    keeping.note("two", frozenset("x"))
    assert not keeping._questions
    assert not keeping._used
    assert not any(keeping._readers.values())


def test_equal_queries_are_one_question_and_others_are_not() -> None:
    keeping = Keeping(Limits())
    question = keep(keeping, Get([1, {"x": {2, 3}}]), one=None)
    assert keeping.open(Get([1, {"x": {3, 2}}]), handle, 10) is question
    for other in (Get([1]), Get((1.0, {"x": {2, 3}})), Other([1, {"x": {2, 3}}])):
        assert keeping.open(other, handle, 10) is not question


@pytest.mark.parametrize(("one", "other"), [(None, float("nan")), (1, True), (1, 1.0), (0.0, -0.0), ("1", 1)])
def test_values_that_a_handler_could_tell_apart_are_different_questions(one: Any, other: Any) -> None:
    keeping = Keeping(Limits())
    question = keep(keeping, Get(one), one=None)
    assert keeping.open(Get(other), handle, 10) is not question


@pytest.mark.parametrize("new", [object, lambda: float("nan")], ids=["not to be encoded", "equal to nothing"])
def test_what_equals_nothing_is_answered_each_time(new: Callable[[], object]) -> None:
    keeping = Keeping(Limits())
    first = keeping.open(Get(new()), handle, 10)
    second = keeping.open(Get(new()), handle, 10)
    assert first is not second
    keeping.keep(second, Answered({}, {}))
    assert second.kept is None


def test_the_least_recently_used_answer_of_a_handler_goes_first() -> None:
    keeping = Keeping(Limits())
    first, second = keep(keeping, Get(1), 2, one=None), keep(keeping, Get(2), 2, one=None)
    keeping.use(first)
    third, other = keep(keeping, Get(3), 2, one=None), keep(keeping, Other(4), 2, one=None)
    assert kept(first, second, third, other) == [1, 3, 4]
    assert (keeping.count(Get), keeping.count(Other)) == (2, 1)


def test_of_all_handlers_together_only_so_many_answers_are_kept() -> None:
    keeping = Keeping(Limits(cached_answers_max=2))
    first, second = keep(keeping, Get(1), one=None), keep(keeping, Other(2), one=None)
    keeping.use(first)
    third = keep(keeping, Get(3), one=None)
    assert kept(first, second, third) == [1, 3]
    assert len(keeping._questions) == 2


def test_what_is_not_cached_is_kept_only_while_somebody_watches_it() -> None:
    keeping = Keeping(Limits())
    assert keep(keeping, Get(1), 0, one=None).kept is None
    question = keeping.open(Get(1), handle, 0)
    question.watchers += 1
    keeping.keep(question, Answered({"one": None}, {}))
    assert kept(question) == [1]
    assert keeping.count(Get) == 0
    question.watchers -= 1
    keeping.close(question)
    assert kept(question) == []
    assert not keeping._questions


def test_what_is_watched_is_kept_beyond_the_bound() -> None:
    keeping = Keeping(Limits())
    question = keeping.open(Get(1), handle, 1)
    question.watchers += 1
    keeping.keep(question, Answered({"one": None}, {}))
    other = keep(keeping, Get(2), 1, one=None)
    assert kept(question, other) == [1, 2]
    assert keeping.count(Get) == 1
    question.watchers -= 1
    keeping.close(question)
    assert kept(question, other) == [2]
