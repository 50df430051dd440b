"""Shape: what the encoding of a type looks like, apart from what its classes are called."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias
from zlib import crc32

import msgspec
from msgspec import inspect

from bus.core.messages import TAG_FIELD

Shape: TypeAlias = Mapping[str, Any]
"""A type as JSON can have it: what it is, with its fields, elements and bounds."""

_MADE: Final = "made anew"
"""In the place of a default that a function makes, which may be another each time."""

_RECORDS = (inspect.StructType, inspect.DataclassType, inspect.NamedTupleType, inspect.TypedDictType)


def shape_of(kind: type[msgspec.Struct]) -> Shape:
    """The shape of a struct that can be encoded."""
    shape: Shape = msgspec.json.decode(msgspec.json.encode(_shape(inspect.type_info(kind), ())))
    return shape


def digest_of(kind: Any) -> str:
    """Eight hexadecimal digits that change when the shape of what is annotated so does."""
    return f"{crc32(msgspec.json.encode(_shape(inspect.type_info(kind), ()), order='sorted')):08x}"


def differences(before: Shape, after: Shape) -> tuple[str, ...]:
    """What a reader of `after` would take for something else in what was written as `before`, in words; often nothing.

    New fields with a default are no difference: what was written without them is read all the same.
    """
    fields, now = before["fields"], after["fields"]
    found = [f"field {name!r} is gone" for name in fields if name not in now]
    found += [f"field {name!r} is another" for name in fields if name in now and now[name] != fields[name]]
    found += [f"field {name!r} has no default" for name in now if name not in fields and "default" not in now[name]]
    if {**before, "fields": {}} != {**after, "fields": {}}:
        found.append("more than its fields is another")
    return tuple(found)


def _shape(described: inspect.Type, within: tuple[object, ...]) -> dict[str, Any]:
    if isinstance(described, inspect.Metadata):
        # A description, say, which changes nothing.
        described = described.type
    if isinstance(described, _RECORDS):
        return _record(described, within)
    if isinstance(described, inspect.EnumType):
        return {"type": "enum", "values": sorted([member.value for member in described.cls], key=repr)}
    shape: dict[str, Any] = {"type": type(described).__name__.removesuffix("Type").lower()}
    for name in described.__struct_fields__:
        value = getattr(described, name)
        if isinstance(value, inspect.Type):
            shape[name] = _shape(value, within)
        elif name in ("types", "item_types"):
            shape[name] = [_shape(part, within) for part in value]
        elif value is not None:
            shape[name] = value
    return shape


def _record(described: Any, within: tuple[object, ...]) -> dict[str, Any]:
    cls = described.cls
    if cls in within:
        # A type that contains itself: how many levels up it is.
        return {"type": "above", "levels": len(within) - within.index(cls)}
    shape: dict[str, Any] = {"type": "record"}
    for name in ("tag_field", "tag", "array_like", "forbid_unknown_fields"):
        if (value := getattr(described, name, None)) not in (None, False, TAG_FIELD):
            shape[name] = value
    shape["fields"] = {field.encode_name: _field(field, (*within, cls)) for field in described.fields}
    return shape


def _field(field: inspect.Field, within: tuple[object, ...]) -> dict[str, Any]:
    shape = _shape(field.type, within)
    if field.default is not msgspec.NODEFAULT:
        shape["default"] = msgspec.to_builtins(field.default)
    elif field.default_factory in (list, dict, set, frozenset, tuple):
        shape["default"] = msgspec.to_builtins(field.default_factory())
    elif field.default_factory is not msgspec.NODEFAULT or not field.required:
        shape["default"] = _MADE
    return shape
