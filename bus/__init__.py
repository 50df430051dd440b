"""Doubledecker: a message bus for CQRS and event sourcing; one deck writes, one deck reads.

The journey of a command, step by file:

1. send       `bus/bus.py`               `Bus.send` awaits one reply
2. route      `bus/write/intake.py`      command type and id give the stream; ids, deadline and trace context are noted
3. mailbox    `bus/write/directory.py`   the actor of that stream: a mailbox and a frozen state
4. decide     `bus/write/deciding.py`    in the turns of `bus/runtime/dispatcher.py`; cold actors: `write/recovery.py`
5. commit     `bus/write/commit.py`      all that a turn decided, as one transaction of the event store
6. ack        `bus/write/settling.py`    receipts, or another decision where the store refused
7. publish    `bus/runtime/feed.py`      committed events in position order
8. project    `bus/read/projector.py`    from `read/subscription.py` through `read/folding.py` into the view store,
              or through the SQL of a user by `read/batches.py`,
              where `read/leases.py` lets it; what fails is put aside by `read/parking.py` and `read/replaying.py`;
              `read/lineages.py` keeps views that are built anew beside those that answer, till `read/switching.py`
9. query      `bus/read/queries.py`      handlers read one snapshot; `read/answers.py` gives an answer again while it is
              true, `read/watching.py` asks again after changes

`bus/core` is what users write with, `bus/ports` what stores implement, `bus/memory` the shortest such stores,
`bus/opened.py` starts and closes the parts, `bus/testing` tests what users write. Domains and read
models import from `bus.core`, applications from here.
"""

from bus.bus import Bus
from bus.core.application import Application
from bus.core.batches import BatchProjection
from bus.core.caching import cached
from bus.core.conditions import above, at_least, at_most, below, between, one_of
from bus.core.decider import Decider
from bus.core.errors import (
    BusClosed,
    BusError,
    CommandFailed,
    CommandIdReused,
    ConflictExhausted,
    DeadlineExceeded,
    DefinitionError,
    InvalidCursor,
    NotProjected,
    NotRecorded,
    NotSettled,
    OutcomeUnknown,
    Overloaded,
    Parked,
    ProjectionStopped,
    ProjectionTimeout,
    QueryError,
    QueryFailed,
    QueryTimeout,
    Rejected,
    StatementFailed,
    StoreInUse,
    StoreNotReadable,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
    UnknownCommand,
    UnknownQuery,
    Unreadable,
    Unusable,
    VersionConflict,
    ViewNotIndexed,
    ViewsMismatch,
)
from bus.core.letters import DeadLetter, Request
from bus.core.limits import Limits
from bus.core.messages import (
    REMOVED,
    Answer,
    Command,
    Cursor,
    Event,
    Loaded,
    Page,
    Query,
    Receipt,
    Recorded,
    Removed,
    State,
    View,
    Views,
)
from bus.core.projection import PARK, STOP, Projection
from bus.core.safe import SAFE
from bus.core.snapshots import Snapshots
from bus.core.statistics import CacheStatistics, ProjectionStatistics, ShutdownReport, Statistics
from bus.core.transactions import Transaction
from bus.core.upcasting import Drop, Split, Upcaster
from bus.memory import MemoryEventStore, MemoryViewStore
from bus.runtime.log import LogFormatter

__all__ = [
    "PARK",
    "REMOVED",
    "SAFE",
    "STOP",
    "Answer",
    "Application",
    "BatchProjection",
    "Bus",
    "BusClosed",
    "BusError",
    "CacheStatistics",
    "Command",
    "CommandFailed",
    "CommandIdReused",
    "ConflictExhausted",
    "Cursor",
    "DeadLetter",
    "DeadlineExceeded",
    "Decider",
    "DefinitionError",
    "Drop",
    "Event",
    "InvalidCursor",
    "Limits",
    "Loaded",
    "LogFormatter",
    "MemoryEventStore",
    "MemoryViewStore",
    "NotProjected",
    "NotRecorded",
    "NotSettled",
    "OutcomeUnknown",
    "Overloaded",
    "Page",
    "Parked",
    "Projection",
    "ProjectionStatistics",
    "ProjectionStopped",
    "ProjectionTimeout",
    "Query",
    "QueryError",
    "QueryFailed",
    "QueryTimeout",
    "Receipt",
    "Recorded",
    "Rejected",
    "Removed",
    "Request",
    "ShutdownReport",
    "Snapshots",
    "Split",
    "State",
    "StatementFailed",
    "Statistics",
    "StoreInUse",
    "StoreNotReadable",
    "StoreReadOnly",
    "StoreTooNew",
    "StoreUnavailable",
    "Transaction",
    "UnknownCommand",
    "UnknownQuery",
    "Unreadable",
    "Unusable",
    "Upcaster",
    "VersionConflict",
    "View",
    "ViewNotIndexed",
    "Views",
    "ViewsMismatch",
    "above",
    "at_least",
    "at_most",
    "below",
    "between",
    "cached",
    "one_of",
]
