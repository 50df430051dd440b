"""Names: how a class name becomes a wire name, and what events, ids, categories and streams may be called."""

import re
from collections.abc import Collection

ID_BYTES_MAX = 200
"""An id is at most this many bytes of UTF-8, so that `category-id` fits every store's index."""

_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_.][a-z0-9]+)*")
_CATEGORY = re.compile(r"[A-Za-z][A-Za-z0-9_.]*")
_VERSION = re.compile(r"[2-9]|[1-9][0-9]{1,3}")


def kebab(class_name: str) -> str:
    """`DepartFlight` becomes `depart-flight`, `HTTPCall` becomes `http-call`."""
    return _BOUNDARY.sub("-", class_name).lower().replace("_", "-").strip("-")


def is_stored_name(name: object) -> bool:
    """Stored names are lower case words joined by `-`, `_` or `.`, at most 100 characters long."""
    return isinstance(name, str) and len(name) <= 100 and _NAME.fullmatch(name) is not None


def is_event_name(name: object) -> bool:
    """An event's stored name is one of the above, and from its second version on `@` and the version's number."""
    if not isinstance(name, str):
        return False
    base, mark, version = name.partition("@")
    return is_stored_name(base) and (not mark or _VERSION.fullmatch(version) is not None)


def versioned(name: str) -> tuple[str, int]:
    """An event's stored name without its version, and that: `flight-departed` is its own first version."""
    base, _, version = name.partition("@")
    return base, int(version or 1)


def is_category(name: object) -> bool:
    """A category is an identifier, in which `.` is allowed and `-` is not: `-` ends it in a stream's name."""
    return isinstance(name, str) and len(name) <= 100 and _CATEGORY.fullmatch(name) is not None


def id_fault(value: object) -> str | None:
    """What is wrong with an id, in words that follow "is", or None when it is one."""
    if not isinstance(value, str):
        return f"of type {type(value).__name__}, not str"
    if not value:
        return "empty"
    if "\0" in value:
        return "a text with a NUL character"
    if len(value) <= ID_BYTES_MAX and value.isascii():
        return None
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "a text that is not valid Unicode (a lone surrogate)"
    return f"{size} bytes long, more than {ID_BYTES_MAX}" if size > ID_BYTES_MAX else None


def are_ids(values: Collection[str]) -> bool:
    """Whether all of these texts are ids; where they look unusual it says no, and `id_fault` tells."""
    if not values:
        return True
    together = "".join(values)
    return (
        together.isascii() and "\0" not in together and "" not in values and len(max(values, key=len)) <= ID_BYTES_MAX
    )


def stream_of(category: str, aggregate_id: str) -> str:
    """The stream of an aggregate: `flight` and `UA-1545` give `flight-UA-1545`."""
    return f"{category}-{aggregate_id}"


def category_of(stream: str) -> str:
    """The part of a stream's name before its first `-`."""
    return stream.partition("-")[0]


def id_of(stream: str) -> str:
    """The aggregate's own id: the part of a stream's name after its first `-`."""
    return stream.partition("-")[2]


def trace_id_of(traceparent: str | None) -> str | None:
    """The second field of a W3C `traceparent`."""
    if traceparent is None:
        return None
    parts = traceparent.split("-")
    return parts[1] if len(parts) > 1 else None
