"""Stores: from the URL that a user writes to the store that it means, whose packages are loaded only then."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from adapters.cli.failures import Refused
from bus import MemoryEventStore, MemoryViewStore
from bus.core.builds import answering
from bus.core.stored import ViewTable

if TYPE_CHECKING:
    from adapters.postgres import PostgresEventStore, PostgresViewStore
    from adapters.sqlite import SqliteEventStore, SqliteViewDesk, SqliteViewStore

    EventStore: TypeAlias = SqliteEventStore | PostgresEventStore | MemoryEventStore
    ViewDesk: TypeAlias = SqliteViewDesk | PostgresViewStore
    ViewStore: TypeAlias = SqliteViewStore | PostgresViewStore | MemoryViewStore

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")
_FORMS = "write sqlite:///file.db, sqlite:////absolute/file.db, postgresql://user@host/database or memory:"


def event_store(url: str, *, read_only: bool = False) -> "EventStore":
    """The event store of a URL; raises `Refused` for one that is none."""
    if url == "memory:":
        return MemoryEventStore()
    options: dict[str, object] = {"read_only": True} if read_only else {}
    made: EventStore = _made(url, "EventStore", options)
    return made


def view_store(url: str) -> "ViewStore":
    """The view store of a URL; raises `Refused` for one that is none."""
    if url == "memory:":
        return MemoryViewStore()
    made: ViewStore = _made(url, "ViewStore", {})
    return made


def view_desk(url: str, *, read_only: bool = False) -> "ViewDesk":
    """What looks at views beside the bus that projects them; raises `Refused` for a URL that is none.

    With `read_only` nothing can be asked and nothing is ever written; without, a server's schema is brought up to date.
    """
    options: dict[str, object] = {"read_only": True} if read_only else {}
    made: ViewDesk = _made(url, "ViewStore" if url.startswith(_POSTGRES) else "ViewDesk", options)
    return made


async def reached(url: str) -> Mapping[tuple[str, int], int] | None:
    """How far the projections of a view store have come, by name and version; it may be in use. None for memory."""
    if url == "memory:":
        return None
    view_store(url)  # Refuses a URL that is none.
    package, where = ("postgres", url) if url.startswith(_POSTGRES) else ("sqlite", url.removeprefix(_SQLITE))
    found: Mapping[tuple[str, int], int] = await import_module(f"adapters.{package}.reached").reached(where)
    return found


def views_beside(url: str) -> str:
    """Where the views of an event store are unless the user says otherwise: `flights.db` has `flights-views.db`.

    On a server they share the schema of the events.
    """
    if url == "memory:" or url.startswith(_POSTGRES):
        return url
    folder, slash, name = url.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    return f"{folder}{slash}{stem}-views{dot}{suffix}" if stem else f"{url}-views"


def _made(url: str, kind: str, options: dict[str, object]) -> Any:
    scheme, colon, _ = url.partition(":")
    # A URL of a server may hold a password.
    shown = f"the {scheme} URL" if scheme in ("postgresql", "postgres") else repr(url)
    if url.startswith(_POSTGRES):
        package, name, where = "postgres", "PostgreSQL", url
    elif url.startswith(_SQLITE):
        package, name, where = "sqlite", "SQLite", url.removeprefix(_SQLITE)
        if "?" in where:
            raise Refused(f"{shown} has options after a '?', and there are none for SQLite: {_FORMS}")
    elif not colon or scheme in ("sqlite", "postgresql", "postgres"):
        raise Refused(f"{shown} is no URL of a store: {_FORMS}")
    else:
        raise Refused(f"no store is called {scheme!r}: {_FORMS}")
    try:
        store = getattr(
            import_module(f"adapters.{package}"), f"{'Sqlite' if package == 'sqlite' else 'Postgres'}{kind}"
        )
    except ModuleNotFoundError as error:
        raise Refused(f"{name} needs the package {error.name}: pip install 'doubledecker[{package}]'") from error
    try:
        return store(where, **options)
    except ValueError as error:
        raise Refused(f"{shown} is no URL of a store ({error}): {_FORMS}") from error


async def answering_tables(desk: "ViewDesk") -> list[ViewTable]:
    """Of each version what answers: what is being built beside it, or was replaced, has letters of no interest."""
    builds = await desk.builds()
    versions = dict.fromkeys([(one.table.projection, one.table.version) for one in builds])
    found = [answering([one for one in builds if one.table.place[:2] == version]) for version in versions]
    return [one.table for one in found if one is not None]
