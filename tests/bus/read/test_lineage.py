"""Lineage: which builds of a projection are known, which of them is to answer, and what answers tell of."""

from datetime import UTC, datetime

from bus.core.builds import ANSWERING, BUILDING, REPLACED, Build, State
from bus.core.projection import Projection
from bus.core.stored import Checkpoint, ViewTable
from bus.read.lineage import Lineage
from bus.runtime.reply import reply_factory
from tests.support.building import projector_of, raised, services_of
from tests.support.ledger import BALANCES, AccountEvent, Balance, balances

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
RAISED: Projection[Balance, AccountEvent] = raised().view_projections[0]
"""Version 2, which knows version 1."""


def build(version: int, state: State, number: int = 0, name: str = "balances") -> Build:
    return Build(ViewTable(name, version, (), number), Checkpoint(), state, NOON)


def lineage(*builds: Build) -> Lineage:
    made = Lineage(RAISED, reply_factory())
    made.builds = {one.table.place: one for one in builds}
    return made


async def test_only_builds_of_known_versions_are_its_own() -> None:
    own = [build(1, ANSWERING), build(2, BUILDING), build(2, BUILDING, 1)]
    others = [build(3, ANSWERING), build(1, ANSWERING, name="journal")]
    assert lineage().known([*own, *others]) == own
    assert (lineage().version(1), lineage().version(2), lineage().version(3)) == (BALANCES, RAISED, None)


async def test_a_table_is_named_by_the_indexes_that_its_version_declares() -> None:
    assert lineage().named(ViewTable("balances", 1, ("old",), 3)) == ViewTable("balances", 1, BALANCES.indexes, 3)


async def test_what_answers_is_chosen_and_of_several_the_latest_version() -> None:
    assert lineage(build(1, ANSWERING), build(2, BUILDING)).choose() == build(1, ANSWERING)
    assert lineage(build(1, REPLACED), build(2, ANSWERING)).choose() == build(2, ANSWERING)
    assert lineage(build(1, ANSWERING), build(2, REPLACED)).choose() == build(1, ANSWERING)
    assert lineage(build(1, ANSWERING), build(2, ANSWERING)).choose() == build(2, ANSWERING)
    assert lineage(build(1, ANSWERING, 1), build(1, ANSWERING, 2)).choose() == build(1, ANSWERING, 2)


async def test_where_nothing_known_answers_what_was_replaced_does_before_what_is_being_built() -> None:
    assert lineage(build(1, REPLACED), build(2, BUILDING)).choose() == build(1, REPLACED)
    assert lineage(build(2, BUILDING)).choose() == build(2, BUILDING)


async def test_answers_tell_of_whatever_answers_and_of_that_alone() -> None:
    services, made = services_of(raised()), lineage(build(1, ANSWERING), build(2, BUILDING))
    old, new = projector_of(services, balances()), projector_of(services, RAISED)
    made.projectors = {one.table.place: one for one in (old, new)}
    made.adopt(old)
    old.progress.advance(5, frozenset())
    new.progress.advance(7, frozenset())
    assert (made.progress.position, made.source.position, made.source.table) == (5, 5, old.table)
    assert made.building is new
    made.adopt(new)
    assert (made.progress.position, made.answers) == (7, new)
    old.progress.advance(9, frozenset())
    assert made.progress.position == 7
    new.progress.stop(8, "a bug")
    assert made.progress.stopped == "a bug"


async def test_what_is_to_answer_by_the_store_is_coming_until_it_does() -> None:
    services, made = services_of(raised()), lineage(build(1, REPLACED), build(2, ANSWERING))
    old, new = projector_of(services, balances()), projector_of(services, RAISED)
    made.projectors = {one.table.place: one for one in (old, new)}
    made.adopt(old)
    before = made.coming
    made.adopt(new)
    after = made.coming
    made.builds = {}
    assert (before, after, made.coming) == (new, None, None)


async def test_views_that_never_answered_are_said_not_to_be_built() -> None:
    services, made = services_of(raised()), lineage(build(2, BUILDING))
    new = projector_of(services, RAISED)
    made.projectors = {new.table.place: new}
    made.adopt(new)
    before = made.source, made.building
    made.builds = {new.table.place: build(2, ANSWERING)}
    after = made.source, made.building
    assert (before[0].is_built, before[1]) == (False, new)
    assert (after[0].is_built, after[1]) == (True, None)


async def test_a_version_is_found_by_what_answers_in_it_or_else_by_its_latest_build() -> None:
    services, made = services_of(), lineage(build(1, REPLACED), build(1, ANSWERING, 1), build(1, BUILDING, 2))
    one, two, three = [projector_of(services, balances(), number) for number in range(3)]
    made.projectors = {each.table.place: each for each in (one, two, three)}
    made.adopt(two)
    assert made.find(1) is two
    made.adopt(projector_of(services, RAISED))
    assert made.find(1) is three
    assert made.find(7) is None
