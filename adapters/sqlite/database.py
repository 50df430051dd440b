"""A database file of ours: recognised, locked to one writer, created or brought up to date, and opened."""

import os
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from uuid import uuid4

from filelock import FileLock, Timeout

from adapters.sqlite.errors import DRIVER_ERRORS, advice, primary_code
from adapters.sqlite.header import RESTORE, Header, Layout, foreign, mark_of, mixed, recognise
from bus.core.errors import StoreInUse, StoreNotReadable, StoreReadOnly, StoreTooNew, Unusable

Synchronous = Literal["OFF", "NORMAL", "FULL", "EXTRA"]
"""How much is forced to the disk before a commit returns.

FULL, and EXTRA all the more: what is committed survives a power failure. NORMAL: it survives the end of the process,
but a power failure may take the last commits, all of them whole. OFF: a power failure may also damage the file.
"""

LEVELS: tuple[Synchronous, ...] = get_args(Synchronous)

_READONLY_CODES = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


META = """
CREATE TABLE meta(
    name TEXT PRIMARY KEY, -- 'schema_version'; 'identity', a UUID made with the file, which copies share
    value TEXT NOT NULL
) WITHOUT ROWID, STRICT;
"""


@dataclass
class Database:
    """An open database; `close` frees everything."""

    path: Path
    connection: sqlite3.Connection
    identity: str
    version: int
    """Of its schema."""
    lock: FileLock | None
    _keeper: sqlite3.Connection | None = None

    def keep_log(self) -> None:
        """Lets `close` leave the files as they are."""
        self._keeper = _log_keeper(self.path)

    def close(self) -> None:
        try:
            self.connection.close()
        finally:
            if self._keeper is not None:
                self._keeper.close()
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
    header = recognise(path, layout, url)
    if header is None:
        raise StoreNotReadable(f"{url} does not exist or is empty: nothing was ever recorded there", store=url)
    try:
        connection = sqlite3.connect(reading_uri(path), uri=True, isolation_level=None)
    except DRIVER_ERRORS as error:
        raise _unopenable(error, url) from error
    try:
        version = _check(connection, path, layout, url, header)
        return Database(path, connection, _meta(connection, "identity", url), version, None)
    except BaseException as error:
        connection.close()
        if isinstance(error, DRIVER_ERRORS):
            raise _unopenable(error, url) from error
        raise


def open_beside(path: Path, layout: Layout, url: str, busy_timeout_s: float | None) -> Database:
    """Opens a file for small changes beside its writer, who may be at work; raises a subclass of `Unusable`.

    Neither creates it nor brings it up to date, which its writer does. Without a timeout it is opened for reading only.
    """
    header = recognise(path, layout, url)
    if header is None:
        raise StoreNotReadable(f"{url} does not exist or is empty", store=url)
    try:
        uri = reading_uri(path) if busy_timeout_s is None else f"{path.as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy_timeout_s or 0.0)
    except DRIVER_ERRORS as error:
        raise _unopenable(error, url) from error
    try:
        version = _check(connection, path, layout, url, header)
        if version < len(layout.migrations):
            raise StoreNotReadable(
                f"{url} has schema version {version}, older than this release's {len(layout.migrations)}: let a bus of "
                "this release open it first",
                store=url,
            )
        return Database(path, connection, _meta(connection, "identity", url), version, None)
    except BaseException as error:
        connection.close()
        if isinstance(error, DRIVER_ERRORS):
            raise _unopenable(error, url) from error
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
    header = recognise(path, layout, url)
    lock = _lock(path, url)
    try:
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rwc", uri=True, isolation_level=None, timeout=busy_timeout_s, cached_statements=512
        )
        try:
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            _make_ready(connection, path, layout, url, header)
            return Database(path, connection, _meta(connection, "identity", url), len(layout.migrations), lock)
        except BaseException:
            keeper = _log_keeper(path)
            connection.close()
            if keeper is not None:
                keeper.close()
            if header is None and path.stat().st_size == 0:
                path.unlink()
            raise
    except BaseException as error:
        lock.release(force=True)
        if isinstance(error, DRIVER_ERRORS):
            if primary_code(error) in _READONLY_CODES:
                raise StoreReadOnly(
                    f"{url} cannot be written ({error}): mend the permissions of the file and its directory", store=url
                ) from error
            raise _unopenable(error, url) from error
        raise


def _unopenable(error: Exception, url: str) -> StoreNotReadable:
    return StoreNotReadable(f"{url} cannot be opened ({error}): {advice(error)}", store=url)


def _log_keeper(path: Path) -> sqlite3.Connection | None:
    """A connection to be closed after the one that writes, so that the files of a store that is refused stay as found.

    The last connection to close copies the log into the database and removes it, whatever is wrong with either. One
    that cannot write does not.
    """
    try:
        keeper = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    except sqlite3.Error:
        return None
    with suppress(*DRIVER_ERRORS):
        # It counts from its first look on, whether or not that finds anything readable.
        keeper.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return keeper


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


def _make_ready(connection: sqlite3.Connection, path: Path, layout: Layout, url: str, header: Header | None) -> None:
    exists = header is not None or connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    version = _check(connection, path, layout, url, header) if exists else 0
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
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        connection.execute(f"PRAGMA user_version = {mark_of(_meta(connection, 'identity', url))}")


def _check(connection: sqlite3.Connection, path: Path, layout: Layout, url: str, header: Header | None) -> int:
    """The schema version of a database that exists; `header` is what its file said without its log."""
    mark = connection.execute("PRAGMA user_version").fetchone()[0]
    if connection.execute("PRAGMA application_id").fetchone()[0] != layout.application_id:
        raise foreign(layout, url) if header is None else mixed(path, url)
    if header is not None and header.mark not in (0, mark):
        raise mixed(path, url)
    if mark not in (0, mark_of(_meta(connection, "identity", url))):
        raise mixed(path, url)
    text = _meta(connection, "schema_version", url)
    if not text.isdecimal():
        raise StoreNotReadable(f"{url} is damaged: its schema version is {text!r}. {RESTORE}", store=url)
    version = int(text)
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
        identity = str(uuid4())
        steps = (
            f"PRAGMA application_id = {layout.application_id}; PRAGMA user_version = {mark_of(identity)}; {META} "
            f"{steps} INSERT INTO meta VALUES ('schema_version', '0'), ('identity', '{identity}');"
        )
    connection.executescript(
        f"BEGIN IMMEDIATE; {steps} "
        f"UPDATE meta SET value = '{len(layout.migrations)}' WHERE name = 'schema_version'; COMMIT"
    )


def _meta(connection: sqlite3.Connection, name: str, url: str) -> str:
    found = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    if found is None:
        raise StoreNotReadable(f"{url} is damaged: it has no {name} any more. {RESTORE}", store=url)
    value: str = found[0]
    return value
