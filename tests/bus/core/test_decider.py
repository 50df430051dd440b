"""Deciders: what cannot work is refused when it is written, in words that say what to write instead."""

import functools
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeAlias

import msgspec
import pytest

from bus import Command, Decider, DefinitionError, Event, State


class Push(Command):
    door_id: str


class Pull(Command):
    door_id: str


class Opened(Event, tag="opened"):
    by: str = ""


class Closed(Event, tag="closed"):
    by: str = ""


class Door(State):
    is_open: bool = False


class House(State):
    doors: int = 0


DoorCommand: TypeAlias = Push | Pull
DoorEvent: TypeAlias = Opened | Closed


def decide(command: DoorCommand, door: Door) -> Sequence[DoorEvent]:
    return [Closed()] if door.is_open else [Opened()]


def evolve(door: Door, event: DoorEvent) -> Door:
    return Door(isinstance(event, Opened))


def door_id(command: DoorCommand) -> str:
    return command.door_id


def decider(**changes: Any) -> Decider[Any, Any, Any]:
    """A sound decider, with changes that make it unsound."""
    sound: dict[str, Any] = {
        "category": "door",
        "initial": Door(),
        "identify": door_id,
        "decide": decide,
        "evolve": evolve,
    }
    return Decider(**{**sound, **changes})


def test_commands_and_events_come_from_the_annotations_in_their_order() -> None:
    sound = decider()
    assert sound.commands == (Push, Pull)
    assert sound.events == (Opened, Closed)


@pytest.mark.parametrize("category", ["", "a-b", "-", "é", "a b", "a/b", "1st", "x" * 101, "a\0", 5, None])
def test_a_category_is_an_identifier_without_a_dash(category: Any) -> None:
    with pytest.raises(DefinitionError, match=r"a category is letters, digits, '_' and '.', without '-'"):
        decider(category=category)


@pytest.mark.parametrize("category", ["door", "Door", "house.door", "door_2"])
def test_a_category_may_be_any_identifier(category: str) -> None:
    assert decider(category=category).category == category


@pytest.mark.parametrize("initial", [None, Door, Opened(), 5])
def test_the_initial_state_is_an_instance_of_a_state(initial: object) -> None:
    with pytest.raises(DefinitionError, match="initial must be an instance of a subclass of State"):
        decider(initial=initial)


def test_the_initial_state_is_of_the_type_annotated() -> None:
    with pytest.raises(DefinitionError, match=r"decide's state is .*Door.*, but initial is a House"):
        decider(initial=House())


def test_decide_and_evolve_name_the_same_events() -> None:
    def evolve_opened(door: Door, event: Opened) -> Door:
        return door

    def decide_opened(command: DoorCommand, door: Door) -> Sequence[Opened]:
        return []

    wanted = "decide and evolve must name the same events; only one of them names Closed"
    with pytest.raises(DefinitionError, match=wanted):
        decider(evolve=evolve_opened)
    with pytest.raises(DefinitionError, match=wanted):
        decider(decide=decide_opened)
    assert decider(evolve=evolve_opened, decide=decide_opened).events == (Opened,)


class Unnamed(Event):
    pass


class UnnamedToo(Opened):
    pass


class Named(Opened, tag="named"):
    pass


class Numbered(Event, tag=5):
    pass


class Shouted(Event, tag="DoorOpened"):
    pass


class Spaced(Event, tag="door opened"):
    pass


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Unnamed, 'event Unnamed has no stored name: write class Unnamed\\(Event, tag="some-name"\\)'),
        (UnnamedToo, "event UnnamedToo inherits the name 'opened' of Opened: give it its own tag"),
        (Numbered, 'event Numbered needs a text as its tag, not 5: write tag="some-name"'),
        (Shouted, "event Shouted: 'DoorOpened' is no name; use lower case words joined by '-'"),
        (Spaced, "event Spaced: 'door opened' is no name"),
    ],
)
def test_an_event_needs_a_stored_name_of_its_own(event: type[Event], message: str) -> None:
    def decide_it(command: Push, door: Door) -> Any: ...

    def evolve_it(door: Door, event: Any) -> Door:
        return door

    decide_it.__annotations__["return"] = Sequence[event]  # type: ignore[valid-type]
    evolve_it.__annotations__["event"] = event
    with pytest.raises(DefinitionError, match=message):
        decider(decide=decide_it, evolve=evolve_it)


def test_an_event_that_inherits_fields_and_has_a_name_of_its_own_is_sound() -> None:
    def decide_it(command: Push, door: Door) -> Sequence[Named]: ...

    def evolve_it(door: Door, event: Named) -> Door: ...

    assert decider(decide=decide_it, evolve=evolve_it).events == (Named,)


class Custom:
    pass


class Odd(Event, tag="odd"):
    what: Any


class WithObject(Event, tag="with-object"):
    custom: Custom


class WithNested(Event, tag="with-nested"):
    several: tuple[dict[str, list[Custom | None]], ...]


class WithComplex(Event, tag="with-complex"):
    number: complex


class Ambiguous(Event, tag="ambiguous"):
    one: msgspec.Struct | dict[str, int]


class WithUnknown(Event, tag="with-unknown"):
    one: "NeverDefined"  # type: ignore[name-defined]  # noqa: F821


class Recursive(Event, tag="recursive"):
    within: "Recursive | None" = None


class PushObject(Command):
    door_id: str
    custom: Custom


def _deciding(event: Any, command: Any = Push) -> dict[str, Callable[..., Any]]:
    def decide_it(command: Any, door: Door) -> Any: ...

    def evolve_it(door: Door, event: Any) -> Door: ...

    decide_it.__annotations__.update({"command": command, "return": Sequence[event]})
    evolve_it.__annotations__["event"] = event
    return {"decide": decide_it, "evolve": evolve_it}


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (WithObject, "event WithObject cannot be encoded: <class '.*Custom'> is no type that JSON can carry; use text"),
        (WithNested, "event WithNested cannot be encoded: <class '.*Custom'>"),
        (WithComplex, "event WithComplex cannot be encoded: <class 'complex'>"),
        (Ambiguous, "event Ambiguous cannot be encoded: Type unions may not contain"),
        (WithUnknown, "event WithUnknown has a field whose type cannot be resolved: .*NeverDefined.*top of a module"),
    ],
)
def test_a_type_that_cannot_be_encoded_is_refused(event: type[Event], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        decider(**_deciding(event))


def test_a_command_that_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(DefinitionError, match="command PushObject cannot be encoded"):
        decider(**_deciding(Opened, PushObject))


def test_types_that_contain_themselves_or_anything_are_sound() -> None:
    assert decider(**_deciding(Recursive)).events == (Recursive,)
    assert decider(**_deciding(Odd)).events == (Odd,)


def test_types_defined_in_a_function_are_refused_with_the_cure() -> None:
    class Local(Event, tag="local"):
        pass

    def decide_it(command: Push, door: Door) -> "Sequence[Local]": ...

    with pytest.raises(
        DefinitionError,
        match=r"decide \(.*decide_it\) has an annotation that cannot be resolved: .*Local.*"
        r"Types defined inside a function cannot be found by name: define them at the top of a module",
    ):
        decider(decide=decide_it)


def test_an_annotation_of_a_name_that_a_module_lacks_is_refused() -> None:
    def decide_it(command: "msgspec.Missing", door: Door) -> Sequence[Opened]: ...  # type: ignore[name-defined]

    with pytest.raises(DefinitionError, match="cannot be resolved"):
        decider(decide=decide_it)


def _no_annotations(command, door):  # type: ignore[no-untyped-def]
    return []


def _no_return(command: Push, door: Door):  # type: ignore[no-untyped-def]
    return []


def _one(command: Push) -> Sequence[Opened]: ...


def _three(command: Push, door: Door, more: int) -> Sequence[Opened]: ...


def _one_event(command: Push, door: Door) -> Opened: ...


def _bare_list(command: Push, door: Door) -> list: ...  # type: ignore[type-arg]


def _no_events(command: Push, door: Door) -> Sequence[int]: ...


def _base_event(command: Push, door: Door) -> Sequence[Event]: ...


def _optional(command: Push, door: Door) -> Sequence[Opened] | None: ...


def _base_command(command: Command, door: Door) -> Sequence[Opened]: ...


def _no_command(command: int, door: Door) -> Sequence[Opened]: ...


def _no_state(command: Push, door: int) -> Sequence[Opened]: ...


async def _async(command: Push, door: Door) -> Sequence[Opened]: ...


def _yields(command: Push, door: Door) -> Sequence[Opened]:  # type: ignore[misc]
    yield Opened()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_no_annotations, "lacks the annotation of command, door, return"),
        (_no_return, "lacks the annotation of return"),
        (_one, r"decide takes \(command, state\), not 1 parameters"),
        (_three, r"decide takes \(command, state\), not 3 parameters"),
        (_one_event, r"must return a sequence of events such as Sequence\[FlightEvent\], not"),
        (_bare_list, "must return a sequence of events"),
        (_optional, "must return a sequence of events"),
        (_no_events, "decide's events must be a subclass of Event or a union of such, not <class 'int'>"),
        (_base_event, "decide's events must be a subclass of Event or a union of such"),
        (_base_command, "decide's command must be a subclass of Command or a union of such"),
        (_no_command, "decide's command must be a subclass of Command"),
        (_no_state, "decide's state must be a subclass of State"),
        (_async, "decide must be a plain function, not an async one"),
        (_yields, "decide must be a plain function, not a generator"),
        (functools.partial(decide), "must be a function or a bound method with annotations"),
        (None, "must be a function or a bound method"),
    ],
)
def test_a_decide_that_cannot_work_is_refused(function: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=f"decider 'door': decide.*{message}|{message}"):
        decider(decide=function)


@pytest.mark.parametrize("name", ["identify", "fold"])
def test_what_is_no_function_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match=f"decider 'door': {name} must be a function, not 'door_id'"):
        decider(**{name: "door_id"})


def _evolve_three(door: Door, event: Opened, more: int) -> Door: ...


def _evolve_nothing(door: Door, event: DoorEvent) -> None: ...


def _evolve_other(door: Door, event: DoorEvent) -> House: ...


async def _evolve_async(door: Door, event: DoorEvent) -> Door: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_evolve_three, r"evolve takes \(state, event\), not 3 parameters"),
        (_evolve_nothing, "evolve's return value must be a subclass of State"),
        (_evolve_other, "evolve's return value is .*House.*, but initial is a Door"),
        (_evolve_async, "evolve must be a plain function"),
    ],
)
def test_an_evolve_that_cannot_work_is_refused(function: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        decider(evolve=function)


class Rules:
    """Bound methods are functions, too."""

    def decide(self, command: DoorCommand, door: Door) -> list[DoorEvent]: ...

    def evolve(self, door: Door, event: DoorEvent) -> Door: ...


def test_functions_may_be_bound_methods() -> None:
    rules = Rules()
    assert decider(decide=rules.decide, evolve=rules.evolve).commands == (Push, Pull)


@pytest.mark.parametrize(
    "returned",
    [list[DoorEvent], tuple[DoorEvent, ...], Sequence[DoorEvent], Annotated[list[DoorEvent], "said"]],
    ids=str,
)
def test_events_may_come_in_any_sequence(returned: Any) -> None:
    def decide_it(command: Annotated[Push, "said"] | Pull, door: Door) -> Any: ...

    decide_it.__annotations__["return"] = returned
    assert set(decider(decide=decide_it).events) == {Opened, Closed}


def test_a_fold_does_the_work_of_many_evolves() -> None:
    calls: list[int] = []

    def fold(door: Door, events: Sequence[DoorEvent]) -> Door:
        calls.append(len(events))
        return functools.reduce(evolve, events, door)

    events = [Opened(), Closed(), Opened()]
    assert decider().folded(Door(), events) == Door(True)
    assert decider(fold=fold).folded(Door(), events) == Door(True)
    assert calls == [3]
