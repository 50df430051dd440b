"""Errors, sorted by the caller's only question: did it happen?

Every error has a stable `code`, its facts as attributes and in `facts`, and a message that says what to do.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Self, TypeVar

from bus.core.names import kebab


class BusError(Exception):
    """Whatever the bus raises on purpose."""

    code: ClassVar[str] = "bus-error"
    facts: Mapping[str, object] = MappingProxyType({})

    def __init__(self, message: str, /, **facts: object) -> None:
        super().__init__(message)
        self.facts = facts
        for name, value in facts.items():
            # A fact called `code`, say of an airport, must not become the error's own.
            if not hasattr(BusError, name):
                setattr(self, name, value)

    def copy(self) -> Self:
        """The same error for another task to raise, since a raised one carries the traceback of its task."""
        copied = _rebuild(type(self), self.args, dict(self.__dict__), self.__cause__)
        copied.__suppress_context__ = self.__suppress_context__
        return copied

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__), self.__cause__)


B = TypeVar("B", bound=BusError)


def _rebuild(kind: type[B], args: tuple[object, ...], attributes: dict[str, object], cause: BaseException | None) -> B:
    """An error without a call of `__init__`, which a subclass may have given parameters of its own."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    if cause is not None:
        error.__cause__ = cause
    return error


class Rejected(BusError):
    """The aggregate said no: nothing is recorded, and asking again changes nothing. The domain subclasses it.

    `raise NotBoarding("the flight has left", flight_id=...)`: the message is for people, the keywords are facts.
    """

    code: ClassVar[str] = "rejected"

    def __init__(self, message: str = "", /, **facts: object) -> None:
        super().__init__(message or type(self).code.partition(".")[2].replace("-", " ") or "rejected", **facts)

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        if "code" not in cls.__dict__:
            cls.code = f"rejected.{kebab(cls.__name__)}"


class NotRecorded(BusError):
    """Nothing was recorded; sending again is safe."""

    code: ClassVar[str] = "not-recorded"


class UnknownCommand(NotRecorded):
    """No decider of the application takes this command."""

    code: ClassVar[str] = "unknown-command"
    command: str


class CommandIdReused(NotRecorded):
    """The command id belongs to another command."""

    code: ClassVar[str] = "command-id-reused"
    command_id: str
    stream: str


class VersionConflict(NotRecorded):
    """The aggregate is not at the version that the sender expected."""

    code: ClassVar[str] = "version-conflict"
    stream: str
    expected: int
    actual: int


class Overloaded(NotRecorded):
    """There was no room for the command before its deadline."""

    code: ClassVar[str] = "overloaded"
    stream: str


class BusClosed(NotRecorded):
    """The bus is not open, or is closing."""

    code: ClassVar[str] = "bus-closed"


class DeadlineExceeded(NotRecorded):
    """The deadline passed before the command was decided; it never will be."""

    code: ClassVar[str] = "deadline-exceeded"
    stream: str


class ConflictExhausted(NotRecorded):
    """Other processes wrote to the stream before each of the attempts."""

    code: ClassVar[str] = "conflict-exhausted"
    stream: str
    attempts: int


class CommandFailed(NotRecorded):
    """A bug in `identify`, `decide` or `evolve`, or an event that cannot be stored; the cause is attached."""

    code: ClassVar[str] = "command-failed"
    command: str
    stream: str | None


class StoreUnavailable(NotRecorded):
    """The store refused or could not be reached; it is certain that nothing was recorded."""

    code: ClassVar[str] = "store-unavailable"
    store: str


class StatementFailed(NotRecorded):
    """The database refused a statement of a batch projection, or its transaction; nothing of that is written.

    `condition` is what the database calls it: an SQLSTATE of PostgreSQL, or a name such as `SQLITE_CONSTRAINT_UNIQUE`;
    empty where the statement was not even sent.
    """

    code: ClassVar[str] = "statement-failed"
    store: str
    condition: str


class OutcomeUnknown(BusError):
    """Perhaps recorded: send again with the same command id to find out; that is always safe."""

    code: ClassVar[str] = "outcome-unknown"
    command_id: str
    stream: str


class NotProjected(BusError):
    """The command is recorded, but the views do not show it."""

    code: ClassVar[str] = "not-projected"


class ProjectionTimeout(NotProjected):
    """The projection had not come so far when the deadline passed."""

    code: ClassVar[str] = "projection-timeout"
    projection: str
    position: int
    at: int


class ProjectionStopped(NotProjected):
    """The projection stopped at an event it could not process; nothing later reaches its views."""

    code: ClassVar[str] = "projection-stopped"
    projection: str
    position: int
    reason: str


class Parked(NotProjected):
    """The event is parked as a dead letter of its key."""

    code: ClassVar[str] = "parked"
    projection: str
    position: int
    key: str


class QueryError(BusError):
    """A question that got no answer."""

    code: ClassVar[str] = "query-error"


class UnknownQuery(QueryError):
    """No query handler of the application answers this query, or no projection keeps this view."""

    code: ClassVar[str] = "unknown-query"


class QueryFailed(QueryError):
    """The query handler raised; its exception is the cause."""

    code: ClassVar[str] = "query-failed"
    query: str


class QueryTimeout(QueryError):
    """The answer was not there when the deadline passed."""

    code: ClassVar[str] = "query-timeout"
    query: str


class ViewNotIndexed(QueryError):
    """`find` was asked by a field that the projection does not declare."""

    code: ClassVar[str] = "view-not-indexed"
    view: str
    field: str


class ViewNotBuilt(QueryError):
    """The views are being built, and the version that still answers has others; see `position` for how far they are."""

    code: ClassVar[str] = "view-not-built"
    view: str
    projection: str
    position: int


class InvalidCursor(QueryError):
    """`after` is no cursor, or one of another order of views."""

    code: ClassVar[str] = "invalid-cursor"
    view: str


class NotSettled(BusError):
    """`wait_settled` timed out; `busy` names who still works."""

    code: ClassVar[str] = "not-settled"
    busy: tuple[str, ...]


class Unreadable(BusError):
    """The store holds what this code cannot read: an unknown event, a missing upcaster, a payload that does not decode.

    Raised by one event it has that event's place. Raised by opening a bus it has none, and `missing` lists the stored
    names that nothing reads.
    """

    code: ClassVar[str] = "unreadable"
    stream: str
    version: int
    position: int
    name: str
    missing: tuple[str, ...]


class Unusable(BusError):
    """The bus could not be opened on these stores; nothing was changed."""

    code: ClassVar[str] = "unusable"
    store: str


class StoreInUse(Unusable):
    """Another bus writes to the store."""

    code: ClassVar[str] = "unusable.in-use"


class StoreTooNew(Unusable):
    """The store was written by a later release."""

    code: ClassVar[str] = "unusable.too-new"


class StoreNotReadable(Unusable):
    """The file is no store, is damaged, or may not be opened."""

    code: ClassVar[str] = "unusable.not-a-store"


class StoreReadOnly(Unusable):
    """The store cannot be written."""

    code: ClassVar[str] = "unusable.read-only"


class ViewsMismatch(Unusable):
    """The views do not belong to this event store, or are ahead of it: rebuild them."""

    code: ClassVar[str] = "unusable.views-mismatch"
    projection: str


class ViewsDropped(Unusable):
    """These views were replaced by others, and are no longer there."""

    code: ClassVar[str] = "unusable.views-dropped"
    projection: str


class DefinitionError(TypeError):
    """A decider, projection, query handler or application that cannot work; raised when it is built."""


def in_words(error: BaseException) -> str:
    """What a user's function raised; it may not even be able to say so."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__
