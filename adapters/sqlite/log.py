"""The write-ahead log's length: bounded, although readers that overlap would let it grow for ever."""

import sqlite3
from pathlib import Path

BYTES_MAX = 64 * 1024 * 1024
"""Four times what SQLite lets it grow to by itself where nobody reads."""

COMMITS = 32
"""A look at the file gives the interpreter's lock away, so that not every commit takes one."""


class Log:
    """Empties the log once it is too long.

    SQLite starts it anew only where at that moment nobody reads from it, which never happens where query handlers hold
    one snapshot after the other. (What reads events holds one for a statement only.) So the writer waits for those
    that read now. Where somebody still does after the connection's busy timeout the writer goes on, and tries again
    when the log has grown by as much once more.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, bytes_max: int = BYTES_MAX) -> None:
        self._connection = connection
        self._file = Path(f"{path}-wal")
        self._bytes_max = bytes_max
        self._next = bytes_max
        self._commits = 0

    def check(self) -> None:
        """To be called after a commit, which has happened: so this never raises."""
        self._commits += 1
        if self._commits % COMMITS:
            return
        try:
            size = self._file.stat().st_size
            if size < self._next:
                return
            is_busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except (OSError, sqlite3.Error):
            return
        self._next = self._bytes_max + (size if is_busy else 0)
