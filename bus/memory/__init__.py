"""The in-memory stores, which adapter authors read first: `events.py` and `views.py`."""

from bus.memory.events import MemoryEventStore
from bus.memory.views import MemoryViewStore

__all__ = ["MemoryEventStore", "MemoryViewStore"]
