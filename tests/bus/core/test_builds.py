"""Which of a projection's builds answers."""

from datetime import UTC, datetime

import msgspec

from bus.core.builds import ANSWERING, BUILDING, REPLACED, Build, State, answering, to_drop
from bus.core.stored import Checkpoint, ViewTable


def _build(version: int, build: int, state: State) -> Build:
    return Build(ViewTable("board", version, (), build), Checkpoint(), state, None)


def test_nothing_answers_where_nothing_is_or_all_is_being_built() -> None:
    assert answering([]) is None
    assert answering([_build(1, 0, "replaced"), _build(2, 0, "building")]) is None


def test_the_one_in_that_state_answers() -> None:
    old, new = _build(1, 3, "answering"), _build(2, 0, "building")
    assert answering([old, new]) is old


def test_of_versions_that_know_nothing_of_each_other_the_latest_answers() -> None:
    old, new = _build(1, 3, "answering"), _build(2, 0, "answering")
    assert answering([new, old]) is new


def _since(version: int, state: State, build: int = 0, hour: int = 12) -> Build:
    return msgspec.structs.replace(_build(version, build, state), since=datetime(2013, 1, 1, hour, tzinfo=UTC))


def test_who_names_nothing_means_what_is_being_built_or_else_what_was_replaced_last() -> None:
    answers = _since(2, ANSWERING)
    assert to_drop([answers]) is None
    assert to_drop([answers, _since(1, REPLACED, hour=9), _since(2, REPLACED, 1, hour=10)]) == (2, 1)
    assert to_drop([answers, _since(2, REPLACED, 1, hour=8), _since(1, REPLACED, hour=9)]) == (1, 0)
    assert to_drop([answers, _since(1, REPLACED), _since(2, BUILDING, 1), _since(2, BUILDING, 2)]) == (2, 2)
