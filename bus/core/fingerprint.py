"""Fingerprint: tells a repeated command from another one under the same id."""

from collections.abc import Mapping, Set
from typing import Any
from zlib import crc32

import msgspec

from bus.core.messages import Command, Message

# Equal sets and mappings may come in another order, above all in another process.
_encode = msgspec.json.Encoder(order="deterministic").encode


def fingerprint(command: Command) -> bytes:
    """Four bytes that tell commands apart, of type, fields and values; fields at their default do not count.

    A checksum is enough to find a mistake, which goes unnoticed once in four thousand million; it is no signature.
    Raises what msgspec raises for values that cannot be encoded.
    """
    return crc32(canonical(command)).to_bytes(4, "big")


def canonical(message: Message) -> bytes:
    """The same bytes for equal messages of one type; raises what msgspec raises for values that cannot be encoded."""
    try:
        return _encode(message)
    except TypeError:
        # Of members that do not compare, such as enums, and of keys that are no texts msgspec knows no order.
        return _encode(_ordered(message))


def fingerprint_or_none(command: Command | bytes) -> bytes:
    """The fingerprint, given itself or the command; empty, and equal to no other, for one that cannot be encoded."""
    if isinstance(command, bytes):
        return command
    try:
        # As `fingerprint` does first; a call less for every command.
        return crc32(_encode(command)).to_bytes(4, "big")
    except (TypeError, ValueError, OverflowError, RecursionError):
        return _unusual_or_none(command)


def _unusual_or_none(command: Command) -> bytes:
    try:
        return fingerprint(command)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return b""


def _ordered(value: Any) -> Any:
    """The value with lists in the place of all that has no order of its own."""
    kind: Any = value.__class__
    if _is(kind, msgspec.Struct):
        fields = msgspec.structs.fields(kind)
        given = {field.name: getattr(value, field.name) for field in fields}
        changed = {field.name: _ordered(given[field.name]) for field in fields if given[field.name] != _default(field)}
        return [kind.__struct_config__.tag, changed]
    if _is(kind, Set):
        return sorted([_encode(_ordered(member)) for member in value])
    if _is(kind, Mapping):
        return sorted([(_encode(_ordered(key)), _encode(_ordered(member))) for key, member in value.items()])
    if _is(kind, list) or _is(kind, tuple):
        return [_ordered(member) for member in value]
    return value


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _is(kind: type, other: type) -> bool:
    """Without narrowing, after which a type checker knows less than before."""
    return issubclass(kind, other)
