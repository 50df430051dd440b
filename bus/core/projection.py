"""Projection: the pure read model, from recorded events to views, checked when it is built."""

import enum
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from operator import attrgetter
from typing import Any, Final, Generic, TypeAlias, TypeVar, get_origin
from uuid import UUID

import msgspec

from bus.core import annotations
from bus.core.errors import DefinitionError
from bus.core.kinds import kinds_of
from bus.core.messages import Event, Recorded, Removed, View
from bus.core.names import is_stored_name

V = TypeVar("V", bound=View)
E = TypeVar("E", bound=Event)

IndexValue: TypeAlias = str | int | float | None
"""What a store compares and sorts by: None first, then numbers, or text by code point."""


Index: TypeAlias = str | tuple[str, ...]
"""A field, or several together, the first of which is compared first; each of them is an index by itself as well."""


def fields_of(indexes: tuple[Index, ...]) -> tuple[str, ...]:
    """The fields by which views can be found."""
    return tuple([index for index in indexes if isinstance(index, str)])


class Poison(enum.Enum):
    """What becomes of a projection at an event that it cannot process."""

    STOP = "stop"
    """It stops there, visibly, until it is mended; other projections go on."""
    PARK = "park"
    """The event and the later ones of its key are parked; other keys go on."""


STOP: Final = Poison.STOP
PARK: Final = Poison.PARK

FIND_WORDS: Final = frozenset({"view", "order_by", "limit", "after", "self"})
"""Parameters of `Views.find`, which therefore no view's field may be called."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection(Generic[V, E]):
    """How events become the views of one read model.

    `key(recorded)` names the view that an event touches, several as a tuple, or none as `()`. `project(view, recorded,
    key)` returns the view after the event, given the one before it or None, or `REMOVED`. Both are pure. Raising
    `version` builds the views anew. `indexes` names the fields by which views can be found, and several together, as
    a tuple, where those equal in all but the last are to be read in its order. Where it alone is changed the views are
    kept, and indexed anew when a bus is opened. `previous` is the projection as it was before its version was raised:
    it goes on, and answers, until the views of this one have been built beside its own.
    Raises `DefinitionError` for annotations or types that cannot work.
    """

    name: str
    version: int
    view: type[V]
    project: Callable[[V | None, Recorded[E], str], V | Removed]
    key: Callable[[Recorded[E]], str | tuple[str, ...]]
    on_poison: Poison
    indexes: tuple[Index, ...] = ()
    previous: "Projection[Any, Any] | None" = None

    events: tuple[type[Event], ...] = field(init=False)
    fields: tuple[str, ...] = field(init=False)
    """The indexed fields, in the order of `indexes`."""
    index_kinds: Mapping[str, frozenset[type]] = field(init=False)
    """The kinds of values that each indexed field may have; see `bus/core/kinds.py`."""

    def __post_init__(self) -> None:
        what = f"projection {self.name!r}"
        if not is_stored_name(self.name):
            raise DefinitionError(f"{what}: a name is lower case words joined by '-', such as 'departures'")
        if not isinstance(self.version, int) or self.version < 1:
            raise DefinitionError(f"{what}: versions are 1, 2, 3, ..., not {self.version!r}")
        if self.on_poison not in (STOP, PARK):
            raise DefinitionError(f"{what}: on_poison must be STOP or PARK, not {self.on_poison!r}")
        annotations.check_callable(self.key, f"{what}: key")
        self._check_view(what)
        self._check_previous(what)
        object.__setattr__(self, "events", self._event_types(f"{what}: project"))

    def _check_previous(self, what: str) -> None:
        previous = self.previous
        if previous is None:
            return
        if not isinstance(previous, Projection):
            raise DefinitionError(f"{what}: previous must be the projection that this one replaces, not {previous!r}")
        if previous.name != self.name or previous.version >= self.version:
            raise DefinitionError(
                f"{what} version {self.version}: previous must have the same name and a lower version, but is "
                f"{previous.name!r} version {previous.version}"
            )

    @property
    def versions(self) -> "tuple[Projection[Any, Any], ...]":
        """This one and those before it, latest first."""
        return (self,) if self.previous is None else (self, *self.previous.versions)

    def _event_types(self, what: str) -> tuple[type[Event], ...]:
        parameters, returned = annotations.hints(self.project, what)
        if len(parameters) != 3:
            raise DefinitionError(f"{what} takes (view, recorded, key), not {len(parameters)} parameters")
        if get_origin(parameters[1]) is not Recorded:
            raise DefinitionError(f"{what} takes Recorded[...] as its second parameter, not {parameters[1]!r}")
        annotations.check_plain(self.project, what)
        name = self.view.__qualname__
        if not annotations.is_made_of(parameters[0], self.view, type(None)):
            raise DefinitionError(f"{what} takes {name} | None as its first parameter, not {parameters[0]!r}")
        if not annotations.is_made_of(returned, self.view, Removed):
            raise DefinitionError(f"{what} must return {name}, or {name} | Removed, not {returned!r}")
        events = annotations.members(parameters[1].__args__[0], Event, f"{what}'s event")
        for event in events:
            annotations.check_tag(event, "event")
        return events

    def _check_view(self, what: str) -> None:
        if not (isinstance(self.view, type) and issubclass(self.view, View)) or self.view is View:
            raise DefinitionError(f"{what}: view must be a subclass of View, not {self.view!r}")
        annotations.check_frozen(self.view, "view")
        annotations.check_encodable(self.view, "view")
        fields = set(self.view.__struct_fields__)
        if fields & FIND_WORDS:
            words = ", ".join(sorted(fields & FIND_WORDS))
            raise DefinitionError(
                f"{what}: a view's field cannot be called {words}; `find` has parameters of that name"
            )
        if not isinstance(self.indexes, tuple) or len(set(self.indexes)) != len(self.indexes):
            raise DefinitionError(f"{what}: indexes must be a tuple of different field names, not {self.indexes!r}")
        unknown = [name for name in self.indexes if name not in fields and not isinstance(name, tuple)]
        if unknown:
            names = ", ".join([str(name) for name in unknown])
            raise DefinitionError(f"{what}: {self.view.__qualname__} has no field {names} to index")
        for index in self.indexes:
            if isinstance(index, tuple) and (len(index) < 2 or len(set(index)) != len(index)):
                raise DefinitionError(f"{what}: an index of several fields names different ones, not {index!r}")
            if isinstance(index, tuple) and not set(index) <= set(self.indexes):
                raise DefinitionError(
                    f"{what}: the fields of the index {index!r} must each be an index by itself as well, "
                    "by which views are found"
                )
        described = msgspec.inspect.type_info(self.view)
        assert isinstance(described, msgspec.inspect.StructType)
        kinds = {entry.name: kinds_of(entry.type) for entry in described.fields if entry.name in self.indexes}
        for name, found in kinds.items():
            if found is None:
                raise DefinitionError(
                    f"{what}: field {name!r} cannot be indexed: use a text, number, date, time, duration, UUID or enum"
                )
        object.__setattr__(self, "index_kinds", kinds)
        object.__setattr__(self, "fields", fields_of(self.indexes))

    def index_values(self, view: View) -> tuple[IndexValue, ...]:
        """The values of the indexed fields, in the order of `indexes`, without those of several fields."""
        return tuple([index_value(getattr(view, name)) for name in self.fields])

    def index_rows(self, views: Sequence[View]) -> list[tuple[IndexValue, ...]]:
        """The same for many views of the projection's own type."""
        if not self.fields:
            return [()] * len(views)
        columns = [index_column(list(map(attrgetter(name), views))) for name in self.fields]
        return list(zip(*columns, strict=True))


def index_column(values: list[Any]) -> list[IndexValue]:
    """Many values of one field as stores compare them."""
    kinds = set(map(type, values))
    if kinds <= _TEXTS or (kinds == _NUMBERS and min(values) >= -(2**63) and max(values) < 2**63):
        return values
    return [index_value(value) for value in values]


_TEXTS = {str, type(None)}
_NUMBERS = {int}
"""Kinds of values that stores compare as they are; the numbers where they have no more than 64 bits."""


def index_value(value: object) -> IndexValue:
    """A field's value as stores compare it; raises TypeError for one that has no such form.

    Times with a zone become UTC texts of fixed width, durations microseconds, enums their values.
    """
    # The most frequent first, and by their very type: every projected view comes by here.
    if value is None or type(value) is str:
        return value
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, enum.Enum):
        return index_value(value.value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, timedelta):
        value = value // timedelta(microseconds=1)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise TypeError(f"cannot index {value}: it has more than 64 bits")
        return int(value)
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, time):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"cannot index a value of type {type(value).__qualname__}")


def _moment(value: datetime) -> str:
    """`isoformat(timespec="microseconds")` in UTC and without the zone, in two thirds of its time."""
    if value.tzinfo is not None:
        try:
            value = value.astimezone(UTC)
        except OverflowError as error:
            raise TypeError(f"cannot index {value}: in UTC it is outside the calendar") from error
    text = value.isoformat().removesuffix("+00:00")
    return text if value.microsecond else f"{text}.000000"
