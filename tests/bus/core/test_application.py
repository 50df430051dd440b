"""Applications: what does not fit together is refused when it is put together."""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeAlias

import pytest

from bus import (
    STOP,
    Application,
    Bus,
    Command,
    Decider,
    DefinitionError,
    Event,
    Projection,
    Query,
    Recorded,
    State,
    View,
    Views,
)
from tests.support.bank import ACCOUNT, Deposited, Open


class Ring(Command):
    bell_id: str


class RingTwice(Command, tag="ring"):
    bell_id: str


class Rang(Event, tag="rang"):
    pass


class RangAgain(Event, tag="rang"):
    pass


class Hummed(Event, tag="hummed"):
    pass


class Bell(State):
    pass


class Rings(View):
    count: int


class Other(View):
    count: int


def bell_id(command: Any) -> str:
    return str(command.bell_id)


def evolve(bell: Bell, event: Rang) -> Bell:
    return bell


def decide(command: Ring, bell: Bell) -> Sequence[Rang]:
    return [Rang()]


def bell(category: str = "bell", **changes: Any) -> Decider[Any, Any, Any]:
    sound: dict[str, Any] = {"initial": Bell(), "identify": bell_id, "decide": decide, "evolve": evolve}
    return Decider(category=category, **{**sound, **changes})


def project(view: Rings | None, recorded: Recorded[Rang], key: str) -> Rings:
    return Rings(1)


def project_hummed(view: Rings | None, recorded: Recorded[Hummed], key: str) -> Rings:
    return Rings(1)


def project_other(view: Other | None, recorded: Recorded[Rang], key: str) -> Other:
    return Other(1)


def rings(name: str = "rings", view: type[View] = Rings, project: Any = project) -> Projection[Any, Any]:
    return Projection(name=name, version=1, view=view, project=project, key=lambda one: "all", on_poison=STOP)


class GetRings(Query[Rings | None]):
    pass


class GetNothing(Query):  # type: ignore[type-arg]
    pass


class GetMore(GetRings):
    more: int = 0


Aliased: TypeAlias = Rings | None


async def get_rings(query: GetRings, views: Views) -> Rings | None:
    return await views.get(Rings, "all")


def test_an_application_knows_who_takes_what() -> None:
    application = Application(deciders=[bell(), ACCOUNT], projections=[rings()], query_handlers=[get_rings])
    assert application.decider_of[Ring].category == "bell"
    assert application.decider_of[Open] is ACCOUNT
    assert application.command_names["ring"] is Ring
    assert application.projection_of[Rings].name == "rings"
    assert application.handler_of[GetRings] is get_rings
    assert application.schema.by_name["rang"].type is Rang
    assert Application().deciders == ()


def test_a_command_that_two_deciders_take_is_refused() -> None:
    with pytest.raises(DefinitionError, match="command Ring is taken by the deciders 'bell' and 'gong': one must own"):
        Application(deciders=[bell(), bell("gong")])


def test_two_deciders_of_one_category_are_refused() -> None:
    with pytest.raises(DefinitionError, match="there is more than one decider of category bell"):
        Application(deciders=[bell(), bell()])


def test_two_commands_of_one_name_are_refused() -> None:
    def decide_twice(command: RingTwice, bell: Bell) -> Sequence[Rang]: ...

    with pytest.raises(
        DefinitionError, match="the commands Ring and RingTwice share the name 'ring': give one another"
    ):
        Application(deciders=[bell(), bell("gong", decide=decide_twice)])


def test_two_events_of_one_stored_name_are_refused() -> None:
    def decide_again(command: RingTwice, bell: Bell) -> Sequence[RangAgain]: ...

    def evolve_again(bell: Bell, event: RangAgain) -> Bell: ...

    with pytest.raises(DefinitionError, match="Rang and RangAgain share the stored name 'rang': rename one"):
        Application(deciders=[bell(), bell("gong", decide=decide_again, evolve=evolve_again)])


def test_two_projections_of_one_name_or_one_view_are_refused() -> None:
    with pytest.raises(DefinitionError, match="there is more than one projection rings"):
        Application(projections=[rings(), rings(view=Other, project=project_other)])
    with pytest.raises(DefinitionError, match="view Rings is kept by the projections 'rings' and 'more': one must own"):
        Application(projections=[rings(), rings("more")])


def test_a_projection_may_take_events_of_any_decider_or_of_none() -> None:
    application = Application(deciders=[ACCOUNT], projections=[rings()])
    assert {"rang", "deposited"} <= set(application.schema.by_name)
    assert application.schema.by_type[Deposited].name == "deposited"


def test_what_is_no_decider_no_projection_or_no_list_is_refused() -> None:
    nonsense: Any = bell()
    with pytest.raises(DefinitionError, match="deciders must be a list, not Decider"):
        Application(deciders=nonsense)
    with pytest.raises(DefinitionError, match=r"deciders must be of type Decider; .*Projection.* is not"):
        Application(deciders=[rings()])  # type: ignore[list-item]
    with pytest.raises(
        DefinitionError, match="projections must be of type Projection or BatchProjection; 'rings' is not"
    ):
        Application(projections=["rings"])  # type: ignore[list-item]
    with pytest.raises(DefinitionError, match="a bus takes an Application, not"):
        Bus(nonsense)


def _not_async(query: GetRings, views: Views) -> Rings | None: ...


async def _no_views(query: GetRings) -> Rings | None: ...


async def _swapped(views: Views, query: GetRings) -> Rings | None: ...


async def _no_query(query: int, views: Views) -> Rings | None: ...


async def _base_query(query: Query, views: Views) -> Rings | None: ...  # type: ignore[type-arg]


async def _other_answer(query: GetRings, views: Views) -> Rings: ...


async def _no_answer(query: GetNothing, views: Views) -> Rings: ...


async def _no_annotation(query: GetRings, views: Views):  # type: ignore[no-untyped-def]
    ...


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (_not_async, "query handler _not_async must be an async function"),
        (_no_views, r"query handler _no_views must take \(query, views: Views\)"),
        (_swapped, r"query handler _swapped must take \(query, views: Views\)"),
        (_no_query, "query handler _no_query must take a subclass of Query, not <class 'int'>"),
        (_base_query, "query handler _base_query must take a subclass of Query"),
        (_other_answer, r"query handler _other_answer returns .*Rings.*, but GetRings asks for .*Rings \| None"),
        (_no_answer, r"query GetNothing names no answer: write class GetNothing\(Query\[list\[...\]\]\)"),
        (_no_annotation, "lacks the annotation of return"),
        (5, "query handler 5 must be a function or a bound method"),
    ],
)
def test_a_query_handler_that_does_not_fit_its_query_is_refused(handler: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Application(query_handlers=[handler])


def test_two_handlers_of_one_query_are_refused() -> None:
    async def again(query: GetRings, views: Views) -> Rings | None: ...

    with pytest.raises(DefinitionError, match="there is more than one handler of query GetRings"):
        Application(query_handlers=[get_rings, again])


def test_queries_of_one_name_in_different_places_are_different() -> None:
    class Somewhere:
        class Get(Query[int]):
            pass

    class Get(Query[int]):
        pass

    Get.__qualname__ = Somewhere.Get.__qualname__ = "Get"

    async def here(query: Any, views: Views) -> int: ...

    async def there(query: Any, views: Views) -> int: ...

    here.__annotations__["query"] = Get
    there.__annotations__["query"] = Somewhere.Get
    assert len(Application(query_handlers=[here, there]).handler_of) == 2


class Handlers:
    async def rings(self, query: GetMore, views: Views) -> Aliased: ...


def test_a_handler_may_be_a_bound_method_and_a_query_may_inherit_its_answer() -> None:
    handlers = Handlers()
    application = Application(query_handlers=[handlers.rings])
    assert application.handler_of[GetMore] == handlers.rings


class GetLater(Query["list[Rings] | None"]):
    pass


class GetLaterStill(Query[list["Rings"]]):
    pass


class GetNowhere(Query["Nowhere"]):  # type: ignore[name-defined]
    pass


async def _later(query: GetLater, views: Views) -> list[Rings] | None:
    return None


async def _later_still(query: GetLaterStill, views: Views) -> list[Rings]:
    return []


async def _nowhere(query: GetNowhere, views: Views) -> Rings:
    return Rings(0)


def test_an_answer_may_be_named_by_a_text() -> None:
    assert len(Application(query_handlers=[_later, _later_still]).handler_of) == 2
    with pytest.raises(
        DefinitionError, match=r"query GetNowhere names ForwardRef\('Nowhere'\), which cannot be resolved"
    ):
        Application(query_handlers=[_nowhere])


def test_an_application_reads_events_that_only_an_earlier_version_of_a_projection_takes() -> None:
    old = rings(project=project_hummed)
    new = dataclasses.replace(rings(), version=2, previous=old)
    assert "hummed" not in Application(projections=[rings()]).schema.by_name
    assert "hummed" in Application(projections=[new]).schema.by_name
