"""Messages: the frozen structs that travel, and the shapes in which the bus answers."""

import enum
from datetime import datetime
from typing import Any, Final, Generic, NewType, Protocol, TypeVar, dataclass_transform

import msgspec

from bus.core.names import kebab

TAG_FIELD: Final = "$type"
"""The field that carries a message's name in its encoding; no Python field can be called so."""

UNNAMED: Final = "?"
"""How the tag of an event without a stored name begins, until a definition refuses it."""


def _unnamed(class_name: str) -> str:
    return UNNAMED + class_name


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Message(msgspec.Struct, frozen=True):
    """What all shapes share: a frozen msgspec struct, whose subclasses are frozen without saying so."""


class Command(Message, tag=kebab, tag_field=TAG_FIELD, omit_defaults=True):
    """A wish, routed to one aggregate. Its wire name is `tag=`, by default the class name in kebab case.

    Fields at their default are left out of its encoding, so that a command repeated after a release which added such a
    field is still the same command.
    """


class Event(Message, tag=_unnamed, tag_field=TAG_FIELD):
    """A fact. Its stored name, `tag=`, is for ever and must be given: it outlives class and module.

    When its shape changes it becomes the next version, `tag="some-name@2"`, and an `Upcaster` reads the earlier ones.
    """


class State(Message):
    """What an aggregate remembers: a fold of its events, of which copies may be kept as snapshots."""


class View(Message):
    """One row of a read model."""


R_co = TypeVar("R_co", covariant=True)


class Query(Message, Generic[R_co], tag=kebab, tag_field=TAG_FIELD):
    """A question whose answer has the type `R`: `class GetBoard(Query[list[Departure]])`."""


class Removed(enum.Enum):
    """The type of `REMOVED`."""

    REMOVED = "removed"


REMOVED: Final = Removed.REMOVED
"""What `project` returns to remove the view of its key."""

E = TypeVar("E", bound=Event)
E_co = TypeVar("E_co", bound=Event, covariant=True)
V = TypeVar("V", bound=View)
A_co = TypeVar("A_co", covariant=True)
S_co = TypeVar("S_co", bound=State, covariant=True)


class Recorded(msgspec.Struct, Generic[E_co], frozen=True, kw_only=True, gc=False):
    """An event with its place in the store."""

    event: E_co
    stream: str
    """`category-id`."""
    stream_id: str
    """The aggregate's own id."""
    version: int
    """Place in the stream: 1, 2, 3, ... without gaps."""
    position: int
    """Place in the whole store: 1, 2, 3, ... in commit order, without gaps."""
    recorded_at: datetime
    """When the bus handed the event to the store, in UTC."""
    command_id: str
    correlation_id: str
    """The conversation: the command's own id unless its sender named another."""
    causation_id: str | None = None
    """The direct cause of the command, as its sender named it: the id of the command whose event it answers."""
    traceparent: str | None = None
    """The sender's W3C trace context."""


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """Proof that a command was carried out: its events, if any, are durable."""

    command_id: str
    stream: str
    version: int
    """The stream's version after the command."""
    position: int
    """Position of the command's last event; where it had none, the latest committed position."""
    events: tuple[Event, ...] = ()
    """What was recorded, in order."""
    duplicate: bool = False
    """True where this command id was carried out before and nothing was recorded now."""
    trace_id: str | None = None


class Answer(msgspec.Struct, Generic[A_co], frozen=True):
    """One answer of `watch`."""

    value: A_co
    position: int
    """Every view that the answer was read from contains at least the events up to here."""


class Loaded(msgspec.Struct, Generic[S_co], frozen=True):
    """An aggregate as recorded."""

    state: S_co
    version: int


Cursor = NewType("Cursor", str)
"""A place in an order of views, as a text of letters, digits, `-` and `_`, which may travel in a URL and come back.

It tells the place to whoever decodes it: the value that the views are ordered by, and a key. It is no permission.
"""


class Page(msgspec.Struct, Generic[A_co], frozen=True):
    """Some views in order, and where the next ones begin."""

    views: tuple[A_co, ...]
    next: Cursor | None
    """What `after=` takes to go on; None where no more views were found."""


class Views(Protocol):
    """What a query handler may ask: one consistent snapshot of the read models."""

    async def get(self, view: type[V], key: str) -> V | None:
        """The view of one key, or None."""
        ...

    async def find(
        self,
        view: type[V],
        *,
        order_by: str | None = None,
        limit: int | None = None,
        after: Cursor | None = None,
        **where: Any,
    ) -> list[V]:
        """All views whose indexed fields are as `where` says: equal to a value, `one_of` several, or in a range such as
        `between(low, high)` or `at_least(low) & below(high)`.

        They come in the order of the indexed field `order_by` (`"-field"` for descending; None first), ties and
        the unordered by key. Without `limit` more than `Limits.find_views_max` views are refused, never cut off.
        `after` is the `next` of a page in the same order: only what follows its place is found.
        Raises `ViewNotIndexed` for a field that the projection does not declare in `indexes`, `InvalidCursor` for a
        cursor that is none or is of another order.
        """
        ...

    async def find_page(
        self,
        view: type[V],
        *,
        limit: int,
        order_by: str | None = None,
        after: Cursor | None = None,
        **where: Any,
    ) -> Page[V]:
        """Up to `limit` of the views that `find` would give, and the cursor of what follows them.

        Going on with `after=page.next` until that is None visits each view once that keeps its place in the order all
        the while, whatever others come, go or move meanwhile. One that moves from one side of the cursor to the other
        is met again or missed; one that is added is met if it comes after the cursor.
        """
        ...
