"""Which of a projection's builds answers."""

from bus.core.builds import Build, State, answering
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
