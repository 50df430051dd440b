"""A database file of ours: recognised, locked to one writer, created or brought up to date, and opened."""

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from uuid import uuid4

from filelock import FileLock, Timeout

from adapters.sqlite.errors import primary_code
from bus.core.errors import StoreInUse, StoreNotReadable, StoreReadOnly, StoreTooNew, Unusable

Synchronous = Literal["OFF", "NORMAL", "FULL", "EXTRA"]
"""How much is forced to the disk before a commit returns.

FULL, and EXTRA all the more: what is committed survives a power failure. NORMAL: it survives the end of the process,
but a power failure may take the last commits, all of them whole. OFF: a power failure may also damage the file.
"""

LEVELS: tuple[Synchronous, ...] = get_args(Synchronous)

_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID_AT = 68
_READONLY_CODES = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


@dataclass(frozen=True)
class Layout:
    """What makes a file one of ours, and the SQL that makes its tables."""

    noun: str
    application_id: int
    """In the header of the file, where `file` and others look for it too."""
    migrations: tuple[str, ...]
    """Numbered from 1; the schema version of a file is how many it has been through. None is ever changed."""


META = """
CREATE TABLE meta(
    name TEXT PRIMARY KEY, -- 'schema_version'; 'identity', a UUID made with the file, which copies share
    value TEXT NOT NULL
) WITHOUT ROWID, STRICT;
"""


@dataclass
class Database:
    """An open database; `close` frees everything."""

    connection: sqlite3.Connection
    identity: str
    lock: FileLock | None

    def close(self) -> None:
        try:
            self.connection.close()
        finally:
            if self.lock is not None:
                self.lock.release(force=True)


def reading_uri(path: Path) -> str:
    """A URI to read the file by; as one, so that no character of the path means anything to SQLite.

    Even readers of a log keep a small file beside the database. Where that cannot be made, and no log is left by a
    writer, the database is read as one that nobody changes.
    """
    frozen = not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()
    return f"{path.as_uri()}?mode=ro{'&immutable=1' if frozen else ''}"


def open_for_reading(path: Path, layout: Layout, url: str) -> Database:
    """Opens a file that exists; raises a subclass of `Unusable`."""
    if not _recognise(path, layout, url):
        raise StoreNotReadable(f"{url} does not exist or is empty: nothing was ever recorded there", store=url)
    try:
        connection = sqlite3.connect(reading_uri(path), uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise StoreNotReadable(f"{url} cannot be opened: {error}", store=url) from error
    try:
        _check(connection, layout, url)
        return Database(connection, _meta(connection, "identity"), None)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise StoreNotReadable(f"{url} cannot be read: {error}", store=url) from error
        raise


def check_level(synchronous: Synchronous) -> Synchronous:
    """The level; raises `ValueError` for another word, which SQLite would take for a lower one without a sound."""
    if synchronous not in LEVELS:
        raise ValueError(f"synchronous must be one of {', '.join(LEVELS)}, not {synchronous!r}")
    return synchronous


def open_for_writing(
    path: Path, layout: Layout, url: str, synchronous: Synchronous = "FULL", busy_timeout_s: float = 5.0
) -> Database:
    """Opens the file for its only writer, and creates it if need be; raises a subclass of `Unusable`."""
    exists = _recognise(path, layout, url)
    lock = _lock(path, url)
    try:
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rwc", uri=True, isolation_level=None, timeout=busy_timeout_s, cached_statements=512
        )
        try:
            _make_ready(connection, layout, url, synchronous)
            return Database(connection, _meta(connection, "identity"), lock)
        except BaseException:
            connection.close()
            if not exists and path.stat().st_size == 0:
                path.unlink()
            raise
    except BaseException as error:
        lock.release(force=True)
        if isinstance(error, sqlite3.Error):
            if primary_code(error) in _READONLY_CODES:
                raise StoreReadOnly(
                    f"{url} cannot be written ({error}): mend the permissions of the file and its directory", store=url
                ) from error
            raise StoreNotReadable(f"{url} cannot be opened: {error}", store=url) from error
        raise


def _recognise(path: Path, layout: Layout, url: str) -> bool:
    """Whether the file is there, by its header alone, so that a foreign file is not even opened as a database."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            # To open a pipe would wait for whoever writes into it.
            raise StoreNotReadable(f"{url} is no file, but a device or a pipe: name another one", store=url)
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError as error:
        if path.parent.is_dir():
            return False
        raise StoreNotReadable(f"{url}: there is no directory {path.parent}; create it first", store=url) from error
    except IsADirectoryError as error:
        raise StoreNotReadable(f"{url} is a directory: name a file in it", store=url) from error
    except OSError as error:
        raise StoreNotReadable(f"{url} cannot be read: {error.strerror}", store=url) from error
    if not header:
        return False
    if not header.startswith(_MAGIC):
        raise StoreNotReadable(f"{url} is not a database: name another file", store=url)
    found = int.from_bytes(header[_APPLICATION_ID_AT : _APPLICATION_ID_AT + 4], "big")
    if found != layout.application_id:
        raise _foreign(layout, url)
    return True


def _foreign(layout: Layout, url: str) -> StoreNotReadable:
    return StoreNotReadable(f"{url} is a database, but no {layout.noun} of Doubledecker: name another file", store=url)


def _lock(path: Path, url: str) -> FileLock:
    """The writer's lock, on a file beside the database; the system frees it when the process ends, however it does."""
    lock = FileLock(f"{path}.lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        if not Path(lock.lock_file).exists():
            raise _unlockable(path, url, "its lock file cannot be made") from error
        raise StoreInUse(
            f"{url} is in use by another bus, in this process or another: close that one, or open it read-only",
            store=url,
        ) from error
    except OSError as error:
        raise _unlockable(path, url, str(error.strerror)) from error
    return lock


def _unlockable(path: Path, url: str, why: str) -> StoreReadOnly:
    return StoreReadOnly(f"{url} cannot be locked ({why}): its directory {path.parent} must be writable", store=url)


def _make_ready(connection: sqlite3.Connection, layout: Layout, url: str, synchronous: Synchronous) -> None:
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    version = _check(connection, layout, url) if tables else 0
    if version < len(layout.migrations):
        # The log comes after the tables: until then the header of the file itself is written, and it is what tells
        # ours from foreign files.
        _migrate(connection, layout, version)
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise Unusable(f"{url}: its file system does not allow a write-ahead log; put it on a local disk", store=url)
    # A larger log is copied into the database less often, and each page of it once for many changes; a log that is
    # still growing, however, makes a commit of one row take 199 µs instead of 127.
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.execute("PRAGMA cache_size = -65536")
    # Tells at once, and not at the first command, that the file cannot be written: SQLite opens it all the same, and
    # even begins a transaction.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE meta SET value = value WHERE name = 'schema_version'")
    connection.execute("ROLLBACK")


def _check(connection: sqlite3.Connection, layout: Layout, url: str) -> int:
    """The schema version of a database that has tables."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != layout.application_id:
        raise _foreign(layout, url)
    version = int(_meta(connection, "schema_version"))
    if version > len(layout.migrations):
        raise StoreTooNew(
            f"{url} has schema version {version}, and this release knows {len(layout.migrations)}: "
            "use the release that wrote it, or a later one",
            store=url,
        )
    return version


def _migrate(connection: sqlite3.Connection, layout: Layout, version: int) -> None:
    steps = "".join(layout.migrations[version:])
    if version == 0:
        steps = (
            f"PRAGMA application_id = {layout.application_id}; {META} {steps}"
            f"INSERT INTO meta VALUES ('schema_version', '0'), ('identity', '{uuid4()}');"
        )
    connection.executescript(
        f"BEGIN IMMEDIATE; {steps} "
        f"UPDATE meta SET value = '{len(layout.migrations)}' WHERE name = 'schema_version'; COMMIT"
    )


def _meta(connection: sqlite3.Connection, name: str) -> str:
    value: str = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0]
    return value
