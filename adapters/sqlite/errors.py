"""Errors of the driver, sorted by the question whether a transaction may have been recorded."""

import sqlite3

from adapters.sqlite.header import RESTORE
from bus.core.errors import StoreUnavailable

DATA_ERRORS = (
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeEncodeError,
)
"""What the driver raises for values that SQLite cannot hold: too long, beyond 64 bits, not valid Unicode."""

DRIVER_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What the driver raises; the second where SQLite's message quotes the damaged part of a file, which is no text."""

_CERTAIN_AT_COMMIT = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}
"""Failures of COMMIT after which nothing was recorded.

In WAL mode a transaction is its frames in the log, of which only the last, written last, is marked as a commit. BUSY
comes before the first frame. FULL and IOERR_WRITE mean that a frame could not be written whole, so that the marked
one is missing or fails its checksum. After any other failure, of fsync above all, the marked frame may be in the file:
this process has rolled it back and will write over it, but after a crash before that, recovery would find it. That
is a commit in doubt, and to append the identical batch again settles it.
"""

_DAMAGED = f"the file is damaged. {RESTORE}"

_ADVICE = {
    sqlite3.SQLITE_BUSY: "another process holds its write lock; end that, or try again",
    sqlite3.SQLITE_LOCKED: "another connection holds its lock; try again",
    sqlite3.SQLITE_FULL: "there is no room for it; free some, then try again",
    sqlite3.SQLITE_IOERR: "the disk or a size limit refuses to read or write; mend that, then try again",
    sqlite3.SQLITE_READONLY: "it may not be written; mend the permissions of the file and its directory",
    sqlite3.SQLITE_CANTOPEN: "a file beside it cannot be opened; check the permissions of its directory",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}


class CommitInDoubt(Exception):
    """COMMIT failed in a way that leaves open whether the transaction survives a crash; append it again."""


def primary_code(error: Exception) -> int:
    """SQLite's result code without its extension, 0 where the driver itself raised."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def advice(error: Exception) -> str:
    """What to do about it."""
    if isinstance(error, UnicodeDecodeError) or str(error).startswith("Could not decode to UTF-8"):
        return _DAMAGED
    return _ADVICE.get(primary_code(error), "try again, or see the cause")


def unavailable(error: Exception, url: str) -> StoreUnavailable:
    """The driver's error as the bus knows it, for when it is certain that nothing was recorded.

    The driver's error, which becomes the cause, loses its frames: they hold the cursor, and an open cursor a connection
    that is closed.
    """
    error.__traceback__ = None
    return StoreUnavailable(f"{url} is unavailable ({error}): {advice(error)}. Nothing was recorded", store=url)


def after_commit(error: Exception, url: str) -> StoreUnavailable | CommitInDoubt:
    """What a failed COMMIT means."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    if code in _CERTAIN_AT_COMMIT or code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL):
        return unavailable(error, url)
    return CommitInDoubt(f"{url}: it is not certain whether a commit that failed ({error}) was recorded")
