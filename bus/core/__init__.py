"""The pure core: what domains and read models are written with; no event loop, clock, randomness or I/O."""

from bus.core.application import Application
from bus.core.caching import cached
from bus.core.conditions import above, at_least, at_most, below, between, one_of
from bus.core.decider import Decider
from bus.core.errors import Rejected
from bus.core.messages import (
    REMOVED,
    Command,
    Cursor,
    Event,
    Message,
    Page,
    Query,
    Recorded,
    Removed,
    State,
    View,
    Views,
)
from bus.core.projection import PARK, STOP, Projection
from bus.core.safe import SAFE
from bus.core.snapshots import Snapshots
from bus.core.upcasting import Drop, Split, Upcaster

__all__ = [
    "PARK",
    "REMOVED",
    "SAFE",
    "STOP",
    "Application",
    "Command",
    "Cursor",
    "Decider",
    "Drop",
    "Event",
    "Message",
    "Page",
    "Projection",
    "Query",
    "Recorded",
    "Rejected",
    "Removed",
    "Snapshots",
    "Split",
    "State",
    "Upcaster",
    "View",
    "Views",
    "above",
    "at_least",
    "at_most",
    "below",
    "between",
    "cached",
    "one_of",
]
