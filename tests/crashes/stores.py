"""Stores: what a worker is killed on, by the options that name them to it and by the ports that an audit reads."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bus.ports import EventStore, ViewStore


class Stores(msgspec.Struct, frozen=True):
    """A pair of stores that outlives its workers."""

    arguments: tuple[str, ...]
    """`--store` and `--views`, as the worker takes them."""
    events: Callable[[], EventStore]
    """To read, also beside a worker that writes."""
    views: Callable[[], ViewStore]
    """To read while no worker runs."""


NewStores = Callable[[Path], Stores]
"""A new pair, with a folder that is its own."""


def sqlite(folder: Path) -> Stores:
    events, views = folder / "events.db", folder / "views.db"
    return Stores(
        ("--store", f"sqlite:///{events}", "--views", f"sqlite:///{views}"),
        lambda: SqliteEventStore(events, read_only=True),
        lambda: SqliteViewStore(views),
    )
