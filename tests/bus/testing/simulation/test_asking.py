"""Asking: an answer must be one on views that were committed since the question, and each no older than the last."""

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from bus import Limits, MemoryViewStore, Query, Views, cached
from bus.core.letters import DeadLetter
from bus.core.stored import Checkpoint, StoredView, ViewChanges, table_of
from bus.testing import Faults
from bus.testing.simulation.asking import Asked, Questions, at_once
from bus.testing.simulation.model import Violated
from bus.testing.simulation.world import EPOCH, World
from tests.simulation.shop import CACHING_SHOP, RAISED_CACHING_SHOP, SHELVES, TILL, GetShelf, Shelf

TABLE = table_of(SHELVES)


class History:
    """Commits of shelves, each of which a question looks at."""

    def __init__(self, query: Query[Any] | None = None, application: Any = CACHING_SHOP) -> None:
        self.views = MemoryViewStore()
        self.position = 0
        at_once(self.views.__aenter__())
        at_once(self.views.prepare([TABLE, table_of(TILL)]))
        self.asked = Asked(application, query or GetShelf("a"), 1, Limits())
        self.look()

    def commit(self, left: int, *parked: int) -> None:
        before, self.position = self.position, self.position + 1
        row = StoredView("a", b'{"item":"a","left":%d,"events":1}' % left, (left,))
        letters = tuple([_letter(position) for position in parked])
        expected, checkpoint = [Checkpoint(one, "", "item-a", one) for one in (before, self.position)]
        changes = ViewChanges(expected if before else Checkpoint(), checkpoint, (row,), (), 0, letters)
        assert at_once(self.views.commit(TABLE, changes))
        self.look()

    def look(self) -> None:
        at_once(self.asked.look(self.views))


def _letter(position: int) -> DeadLetter:
    return DeadLetter(
        projection="shelves",
        version=1,
        key="b",
        position=position,
        stream="item-b",
        stream_version=1,
        name="stocked",
        error="a bug",
        attempts=1,
        first_at=EPOCH,
        last_at=EPOCH,
        trace_id=None,
    )


def test_each_state_since_the_question_may_be_the_answer_and_none_before_the_last_one() -> None:
    history = History()
    for left in (1, 2, 1):
        history.commit(left)
    history.asked.check(None, 0)
    history.asked.check(Shelf("a", 2, 1), 0)
    history.asked.check(Shelf("a", 1, 1), 0)
    with pytest.raises(Violated, match="which it is on no state of the views"):
        history.asked.check(Shelf("a", 2, 1), 0)


def test_an_answer_holds_what_was_waited_for() -> None:
    history = History()
    history.commit(1)
    history.commit(2)
    with pytest.raises(Violated, match="to be answered at position 2 or later"):
        history.asked.check(Shelf("a", 1, 1), 2)
    history.asked.check(Shelf("a", 2, 1), 2)


def test_an_answer_has_nothing_parked_of_what_was_waited_for() -> None:
    history = History()
    history.commit(1, 1)
    history.asked.check(Shelf("a", 1, 1), 1, range(2, 3))
    with pytest.raises(Violated, match="on no state"):
        history.asked.check(Shelf("a", 1, 1), 1, range(1, 2))


async def fails(query: GetShelf, views: Views) -> Shelf | None:
    raise ValueError("a bug")


def test_of_a_handler_that_fails_nobody_knows_the_answer() -> None:
    history = History(application=replace(CACHING_SHOP, query_handlers=[fails]))
    history.asked.check("anything", 99)


class Pause:
    """Waits for something that is no view."""

    def __await__(self) -> Generator[None]:
        yield


async def waits(query: GetShelf, views: Views) -> Shelf | None:
    await Pause()
    return None


def test_of_a_handler_that_waits_for_anything_but_views_nobody_knows_the_answer() -> None:
    application = replace(CACHING_SHOP, query_handlers=[cached(waits)])
    world = World(application, 1, faults=Faults.none(), limits=Limits(), invariants=())
    asked = world.questions.ask(GetShelf("a"), 1, world.views)
    asked.check("anything", 99)


RAISED = table_of(RAISED_CACHING_SHOP.view_projections[0])


class Rebuilding:
    """A question to somebody who answers from version 1, beside which version 2 holds another view."""

    def __init__(self) -> None:
        self.views = MemoryViewStore()
        self.tables = {"shelves": TABLE, "till": table_of(TILL)}
        at_once(self.views.__aenter__())
        at_once(self.views.prepare([TABLE, table_of(TILL)]))
        at_once(self.views.build(RAISED, EPOCH))
        for table, events in ((TABLE, 1), (RAISED, 2)):
            row = StoredView("a", b'{"item":"a","left":1,"events":%d}' % events, (1,))
            changes = ViewChanges(Checkpoint(), Checkpoint(1, "", "item-a", 1), (row,), (), 0)
            assert at_once(self.views.commit(table, changes))
        self.questions = Questions(RAISED_CACHING_SHOP, Limits())
        self.asked = self.questions.ask(GetShelf("a"), 1, self.views, lambda: self.tables)

    def switch(self) -> None:
        assert at_once(self.views.switch(RAISED, 0, TABLE, EPOCH))

    def adopt(self) -> None:
        self.tables = {**self.tables, "shelves": RAISED}


def test_an_answer_is_one_of_the_views_that_its_process_answers_from() -> None:
    history = Rebuilding()
    history.switch()
    with pytest.raises(Violated, match="on no state"):
        history.asked.check(Shelf("a", 1, 2), 1)
    history.asked.check(Shelf("a", 1, 1), 1)
    history.adopt()
    history.asked.check(Shelf("a", 1, 2), 1)
    with pytest.raises(Violated, match="on no state"):
        history.asked.check(Shelf("a", 1, 1), 1)


def test_views_that_were_answered_from_for_a_moment_are_looked_at_when_that_is_told() -> None:
    history = Rebuilding()
    history.switch()
    before = history.tables
    history.adopt()
    history.questions.moved(2, history.views)
    assert history.asked.is_elsewhere
    history.questions.moved(1, history.views)
    history.tables = before
    history.asked.check(Shelf("a", 1, 2), 1)


def test_nobody_may_answer_from_views_that_are_still_being_built() -> None:
    history = Rebuilding()
    history.adopt()
    with pytest.raises(Violated, match="on no state"):
        history.asked.check(Shelf("a", 1, 2), 1)
    # Nor is there an answer in views that are no longer there.
    history = Rebuilding()
    history.switch()
    assert at_once(history.views.drop(TABLE))
    history.questions.look(history.views)
    history.asked.check(Shelf("a", 1, 1), 1)
    with pytest.raises(Violated, match="on no state"):
        history.asked.check(Shelf("a", 1, 2), 1)
