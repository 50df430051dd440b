"""Ports: what the bus asks of the world, as Protocols; adapters implement them, contract suites hold their laws."""

from bus.ports.events import EventStore
from bus.ports.views import SqlViewStore, ViewDesk, ViewReader, ViewStore
from bus.ports.world import Clock, Ids, Telemetry, Waking

__all__ = ["Clock", "EventStore", "Ids", "SqlViewStore", "Telemetry", "ViewDesk", "ViewReader", "ViewStore", "Waking"]
