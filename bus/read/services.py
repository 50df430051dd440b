"""Services: what the parts of the read side have at hand."""

from collections.abc import Callable
from dataclasses import dataclass

from bus.core.application import Application
from bus.core.limits import Limits
from bus.ports import Clock, EventStore, Telemetry, ViewStore
from bus.runtime.feed import Feed
from bus.runtime.reply import Reply


@dataclass(frozen=True, kw_only=True)
class Services:
    """Those of one opening of a bus."""

    application: Application
    event_store: EventStore
    view_store: ViewStore
    feed: Feed
    clock: Clock
    telemetry: Telemetry
    new_reply: Callable[[], Reply]
    limits: Limits
