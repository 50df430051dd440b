"""BatchProjection: the read model that writes tables of its own by SQL, checked when it is built."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar, get_args, get_origin

from bus.core import annotations
from bus.core.errors import DefinitionError
from bus.core.messages import Event, Query, Recorded
from bus.core.names import is_stored_name
from bus.core.projection import STOP, Index, Poison, Projection
from bus.core.transactions import Transaction

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchProjection(Generic[E]):
    """How events become rows of tables that are the user's own, by SQL.

    `await handle(batch, transaction)` writes what a run of events, in order of position, means; the checkpoint is
    committed in the same transaction. It is run again where that was not committed, so it does nothing that a rollback
    leaves behind, and takes at most `Limits.batch_timeout_s`. Where it raises, the batch is tried again in halves, and
    a single event as often as `Limits.projection_attempts_max` says; then the projection stops before that event, as
    by `on_poison=STOP`: what an event means for tables that the bus does not know cannot be parked by key.

    `await setup(transaction)` makes the tables, empty, once for each version: when a bus with it is opened for the
    first time, in the transaction that makes the checkpoint. Raising `version` sets up and reads all events anew, so
    tables are called after it. `answers` are the queries whose handlers read the tables, by connections of their own:
    `after=` waits for the projection before such a handler runs, and `watch` runs it anew after each commit.

    Needs a view store that speaks SQL. Raises `DefinitionError` for annotations or types that cannot work.
    """

    name: str
    version: int
    handle: Callable[[Sequence[Recorded[E]], Transaction], Awaitable[None]]
    setup: Callable[[Transaction], Awaitable[None]]
    answers: tuple[type[Query[Any]], ...]

    events: tuple[type[Event], ...] = field(init=False)
    on_poison: Poison = field(init=False, default=STOP)
    indexes: tuple[Index, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        what = f"batch projection {self.name!r}"
        if not is_stored_name(self.name):
            raise DefinitionError(f"{what}: a name is lower case words joined by '-', such as 'statements'")
        if not isinstance(self.version, int) or self.version < 1:
            raise DefinitionError(f"{what}: versions are 1, 2, 3, ..., not {self.version!r}")
        if not isinstance(self.answers, tuple) or not all(map(_is_query, self.answers)):
            raise DefinitionError(f"{what}: answers must be a tuple of subclasses of Query, not {self.answers!r}")
        _check_async(self.setup, f"{what}: setup", 1)
        object.__setattr__(self, "events", _event_types(self.handle, f"{what}: handle"))

    @property
    def versions(self) -> "tuple[BatchProjection[E], ...]":
        """This one: its tables are the user's, who alone can build others beside them."""
        return (self,)


AnyProjection: TypeAlias = Projection[Any, Any] | BatchProjection[Any]
"""Whatever a projector runs."""


def _is_query(answer: object) -> bool:
    return isinstance(answer, type) and issubclass(answer, Query) and answer is not Query


def _check_async(function: Callable[..., Any], what: str, takes: int) -> list[Any]:
    """The annotations of its parameters, the last of which is the transaction."""
    parameters, returned = annotations.hints(function, what)
    if not inspect.iscoroutinefunction(function):
        raise DefinitionError(f"{what} must be an async function")
    if len(parameters) != takes or parameters[-1] is not Transaction:
        given = "(batch, transaction: Transaction)" if takes == 2 else "(transaction: Transaction)"
        raise DefinitionError(f"{what} must take {given}")
    if returned is not type(None):
        raise DefinitionError(f"{what} must return None, not {returned!r}")
    return parameters


def _event_types(handle: Callable[..., Any], what: str) -> tuple[type[Event], ...]:
    batch = annotations.unaliased(_check_async(handle, what, 2)[0])
    recorded = get_args(batch)[0] if get_origin(batch) in annotations.READ_ONLY_SEQUENCES and get_args(batch) else None
    if get_origin(annotations.unaliased(recorded)) is not Recorded:
        raise DefinitionError(f"{what} takes Sequence[Recorded[...]] as its first parameter, not {batch!r}")
    events = annotations.members(annotations.unaliased(recorded).__args__[0], Event, f"{what}'s event")
    for event in events:
        annotations.check_tag(event, "event")
    return events
