"""Safe: which fields of messages may be told in logs and spans; those that their types declare so, and no others."""

import enum
from collections.abc import Mapping
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, TypeAlias, Union, get_args, get_origin, get_type_hints

import msgspec

from bus.core.errors import DefinitionError
from bus.core.kinds import kinds_of
from bus.core.messages import Message

TEXT_CHARACTERS_MAX: Final = 100
"""What is told of a longer text is its beginning."""

_INTEGER_BITS: Final = 63


class Safe(enum.Enum):
    """The type of `SAFE`."""

    SAFE = "safe"


SAFE: Final = Safe.SAFE
"""Declares a field of a command, event or query to be fit for logs and spans: `origin: Annotated[Airport, SAFE]`.

The field must be a text, a number, a time, an enum or the like. On fields of states and views it means nothing.
"""

Told: TypeAlias = str | int | float | bool


def told_fields(message: Message) -> Mapping[str, Told]:
    """The safe fields of a message that have a value, by name."""
    found: dict[str, Told] = {}
    for name in safe_fields(type(message)):
        value = getattr(message, name)
        if value is not None:
            found[name] = _told(value)
    return found


@lru_cache(maxsize=4_096)
def safe_fields(message: type[Message]) -> tuple[str, ...]:
    """Their names; raises `DefinitionError` where one is of a type that cannot be told."""
    try:
        hints = get_type_hints(message, include_extras=True)
    except (NameError, AttributeError, SyntaxError, TypeError):
        # What cannot be read declares nothing. Where it must be, others say so.
        return ()
    safe = tuple([name for name in message.__struct_fields__ if _is_safe(hints.get(name))])
    if safe:
        described: Any = msgspec.inspect.type_info(message)
        types = {field.name: field.type for field in described.fields}
        for name in safe:
            kind = types[name].type if isinstance(types[name], msgspec.inspect.Metadata) else types[name]
            if kinds_of(kind) is None:
                raise DefinitionError(
                    f"{message.__qualname__}: the field {name!r} is declared SAFE, and only texts, numbers, times, "
                    "enums and ids can be told: declare single fields of that kind instead"
                )
    return safe


def _is_safe(annotation: Any) -> bool:
    """Whether the annotation is marked, or all that it may be besides None."""
    if get_origin(annotation) is Annotated:
        return SAFE in get_args(annotation)[1:] or _is_safe(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return all(_is_safe(part) for part in get_args(annotation) if part is not NoneType)
    return False


def _told(value: Any) -> Told:
    plain: Told = msgspec.to_builtins(value)
    if isinstance(plain, int) and plain.bit_length() > _INTEGER_BITS:
        plain = str(plain)
    if isinstance(plain, str):
        # Half a surrogate pair would keep the whole span or line from being written.
        plain = plain[:TEXT_CHARACTERS_MAX].encode(errors="backslashreplace").decode()
    return plain
