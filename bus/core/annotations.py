"""Reads the types of a user's functions from their annotations, with errors that name function and cure."""

import collections.abc
import inspect
import types
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from bus.core.errors import DefinitionError
from bus.core.messages import UNNAMED, Message
from bus.core.names import is_event_name, is_stored_name

M = TypeVar("M", bound=Message)

READ_ONLY_SEQUENCES = (collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_SEQUENCES = (list, tuple, *READ_ONLY_SEQUENCES)


def hints(function: Callable[..., Any], what: str) -> tuple[list[Any], Any]:
    """The annotations of the positional parameters, in order, and of the return value."""
    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        raise DefinitionError(f"{what} must be a function or a bound method with annotations, not {function!r}")
    try:
        resolved = get_type_hints(function)
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise DefinitionError(
            f"{what} ({function.__qualname__}) has an annotation that cannot be resolved: {error}. "
            "Types defined inside a function cannot be found by name: define them at the top of a module"
        ) from error
    parameters = list(inspect.signature(function).parameters)
    missing = [name for name in (*parameters, "return") if name not in resolved]
    if missing:
        raise DefinitionError(f"{what} ({function.__qualname__}) lacks the annotation of {', '.join(missing)}")
    return [resolved[name] for name in parameters], resolved["return"]


def resolved(annotation: Any, owner: type, what: str) -> Any:
    """An annotation of a class, of which parts may be written as texts."""
    holder = type("Holder", (), {"__annotations__": {"annotation": annotation}, "__module__": owner.__module__})
    try:
        return get_type_hints(holder)["annotation"]
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise DefinitionError(f"{what} names {annotation!r}, which cannot be resolved: {error}") from error


def members(annotation: Any, base: type[M], what: str) -> tuple[type[M], ...]:
    """The classes of a union of messages, in the order written."""
    annotation = unaliased(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(dict.fromkeys(one for part in get_args(annotation) for one in members(part, base, what)))
    if not (isinstance(annotation, type) and issubclass(annotation, base)) or annotation is base:
        raise DefinitionError(f"{what} must be a subclass of {base.__name__} or a union of such, not {annotation!r}")
    return (annotation,)


def is_made_of(annotation: Any, *types_: type) -> bool:
    """Whether an annotation is one of these types or a union of some of them."""
    annotation = unaliased(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return all(is_made_of(part, *types_) for part in get_args(annotation))
    return annotation in types_


def element(annotation: Any, what: str) -> Any:
    """The `E` of `Sequence[E]`, `list[E]` or `tuple[E, ...]`."""
    annotation = unaliased(annotation)
    if get_origin(annotation) not in _SEQUENCES or not get_args(annotation):
        raise DefinitionError(
            f"{what} must return a sequence of events such as Sequence[FlightEvent], not {annotation!r}"
        )
    return get_args(annotation)[0]


def unaliased(annotation: Any) -> Any:
    """The annotation behind `type X = ...`, `Annotated` and names given by assignment."""
    while True:
        if hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        elif get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        else:
            return annotation


def tag_of(message: type[Message]) -> str:
    """The name of a message in its encoding."""
    tag = message.__struct_config__.tag
    assert isinstance(tag, str), f"{message!r} has no text for a tag"
    return tag


def check_tag(message: type[Message], kind: str) -> None:
    """Refuses a message without a name of its own."""
    tag = message.__struct_config__.tag
    name = message.__qualname__
    check_frozen(message, kind)
    if not isinstance(tag, str):
        raise DefinitionError(f'{kind} {name} needs a text as its tag, not {tag!r}: write tag="some-name"')
    if tag.startswith(UNNAMED):
        raise DefinitionError(
            f'event {name} has no stored name: write class {message.__name__}(Event, tag="some-name")'
        )
    for parent in message.__mro__[1:]:
        if issubclass(parent, Message) and parent.__struct_config__.tag == tag:
            raise DefinitionError(
                f"{kind} {name} inherits the name {tag!r} of {parent.__qualname__}: give it its own tag"
            )
    is_event = kind == "event"
    if not (is_event_name(tag) if is_event else is_stored_name(tag)):
        later = "; from its second version on 'some-name@2'" if is_event else ""
        raise DefinitionError(
            f"{kind} {name}: {tag!r} is no name; use lower case words joined by '-', such as 'some-name'{later}"
        )


def check_frozen(message: type[msgspec.Struct], kind: str) -> None:
    """Refuses a type of which others could change what the bus still holds."""
    if not message.__struct_config__.frozen:
        raise DefinitionError(f"{kind} {message.__qualname__} must be frozen: leave out frozen=False")


def check_plain(function: Callable[..., object], what: str) -> None:
    """Refuses a function whose call gives something to be awaited or iterated instead of its result."""
    for is_other in (inspect.iscoroutinefunction, inspect.isasyncgenfunction):
        if is_other(function):
            raise DefinitionError(f"{what} must be a plain function, not an async one: it works on what it is given")
    if inspect.isgeneratorfunction(function):
        raise DefinitionError(f"{what} must be a plain function, not a generator: return its results together")


def check_callable(function: object, what: str) -> None:
    """Refuses what cannot be called, for functions that need no annotations."""
    if not callable(function):
        raise DefinitionError(f"{what} must be a function, not {function!r}")
    check_plain(function, what)


def check_encodable(message: type[msgspec.Struct], what: str) -> None:
    """Refuses a type with a field that msgspec can write or read only with the help of a hook."""
    try:
        described = msgspec.inspect.type_info(message)
        msgspec.json.Decoder(message)
    except NameError as error:
        raise DefinitionError(
            f"{what} {message.__qualname__} has a field whose type cannot be resolved: {error}. "
            "Types defined inside a function cannot be found by name: define them at the top of a module"
        ) from error
    except TypeError as error:
        raise DefinitionError(f"{what} {message.__qualname__} cannot be encoded: {error}") from error
    custom = _custom(described, set())
    if custom is not None:
        raise DefinitionError(
            f"{what} {message.__qualname__} cannot be encoded: {custom!r} is no type that JSON can carry; "
            "use text, numbers, dates, enums, structs and collections of these"
        )


def _custom(described: Any, seen: set[int]) -> type | None:
    """The first type below a description that msgspec does not know."""
    if isinstance(described, msgspec.inspect.CustomType):
        return described.cls
    if id(described) in seen:
        return None
    seen.add(id(described))
    for part in _parts(described):
        found = _custom(part, seen)
        if found is not None:
            return found
    return None


def _parts(described: Any) -> list[Any]:
    parts: list[Any] = []
    for name in ("type", "item_type", "key_type", "value_type"):
        part = getattr(described, name, None)
        if isinstance(part, msgspec.inspect.Type):
            parts.append(part)
    parts += getattr(described, "types", ())
    parts += getattr(described, "item_types", ())
    parts += [field.type for field in getattr(described, "fields", ())]
    return parts
