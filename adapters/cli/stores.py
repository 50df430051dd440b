"""Stores: from the URL that a user writes to the store that it means, whose packages are loaded only then."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from adapters.cli.failures import Refused
from bus import MemoryEventStore, MemoryViewStore

if TYPE_CHECKING:
    from adapters.sqlite import SqliteEventStore, SqliteViewStore

    EventStore: TypeAlias = SqliteEventStore | MemoryEventStore
    ViewStore: TypeAlias = SqliteViewStore | MemoryViewStore

_SQLITE = "sqlite:///"
_FORMS = "write sqlite:///file.db, sqlite:////absolute/file.db or memory:"


def event_store(url: str, *, read_only: bool = False) -> "EventStore":
    """The event store of a URL; raises `Refused` for one that is none."""
    if url == "memory:":
        return MemoryEventStore()
    store: EventStore = _sqlite(url, "SqliteEventStore", {"read_only": True} if read_only else {})
    return store


def view_store(url: str) -> "ViewStore":
    """The view store of a URL; raises `Refused` for one that is none."""
    if url == "memory:":
        return MemoryViewStore()
    store: ViewStore = _sqlite(url, "SqliteViewStore", {})
    return store


def views_beside(url: str) -> str:
    """Where the views of an event store are unless the user says otherwise: `flights.db` has `flights-views.db`."""
    if url == "memory:":
        return url
    folder, slash, name = url.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    return f"{folder}{slash}{stem}-views{dot}{suffix}" if stem else f"{url}-views"


def _sqlite(url: str, name: str, options: dict[str, object]) -> Any:
    if not url.startswith(_SQLITE):
        scheme, colon, _ = url.partition(":")
        what = f"no store is called {scheme!r}" if colon and scheme != "sqlite" else f"{url!r} is no URL of a store"
        raise Refused(f"{what}: {_FORMS}")
    path = url.removeprefix(_SQLITE)
    if "?" in path:
        raise Refused(f"{url!r} has options after a '?', and there are none for SQLite: {_FORMS}")
    try:
        store = getattr(import_module("adapters.sqlite"), name)
    except ModuleNotFoundError as error:
        raise Refused(f"SQLite needs the package {error.name}: pip install 'doubledecker[sqlite]'") from error
    try:
        return store(path, **options)
    except ValueError as error:
        raise Refused(f"{url!r} is no URL of a store ({error}): {_FORMS}") from error
