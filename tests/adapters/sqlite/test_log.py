"""The write-ahead log stays short, whoever reads."""

import sqlite3
import threading
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from adapters.sqlite.log import COMMITS, Log
from tests.adapters.sqlite.files import raw

BYTES_MAX = 100_000


class Writer:
    """Fills a log that nothing but `check` makes shorter."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t(payload BLOB)")
        self._connection = connection
        self._file = Path(f"{path}-wal")
        self._log = Log(connection, path, BYTES_MAX)
        self.longest = 0

    def tell(self, waits: threading.Event) -> None:
        """Sets the event when the log is about to be emptied."""
        self._connection.set_trace_callback(lambda sql: waits.set() if "checkpoint" in sql else None)

    def wait_s(self, seconds: int) -> None:
        self._connection.execute(f"PRAGMA busy_timeout = {1_000 * seconds}")

    def write(self, commits: int) -> int:
        """Commits so often; returns how long the log is afterwards."""
        for _ in range(commits):
            self._connection.execute("INSERT INTO t VALUES (randomblob(1000))")
            self.longest = max(self.longest, self._file.stat().st_size)
            self._log.check()
        return self._file.stat().st_size


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


@pytest.fixture
def writer(path: Path) -> Generator[Writer]:
    with raw(path) as connection:
        yield Writer(connection, path)


def test_it_waits_for_those_that_read(path: Path, writer: Writer) -> None:
    waits = threading.Event()
    ended = False

    def leave() -> None:
        while waits.wait() and not ended:
            waits.clear()
            if reader.in_transaction:
                reader.execute("COMMIT")

    writer.tell(waits)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as reader:
        thread = threading.Thread(target=leave)
        thread.start()
        for _ in range(5):
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM t").fetchall()
            writer.write(100)
        ended = True
        waits.set()
        thread.join()
    assert writer.longest < 3 * BYTES_MAX


def test_it_grows_while_somebody_reads_and_is_short_again_afterwards(path: Path, writer: Writer) -> None:
    writer.wait_s(0)
    with raw(path) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
        assert writer.write(200) > 5 * BYTES_MAX
        assert reader.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    assert writer.write(COMMITS) < BYTES_MAX
    with raw(path) as reader:
        assert reader.execute("SELECT count(*) FROM t").fetchall() == [(200 + COMMITS,)]


def test_a_log_that_is_not_there_harms_nobody(tmp_path: Path) -> None:
    with raw(tmp_path / "x.db") as connection:
        log = Log(connection, tmp_path / "elsewhere.db", 0)
        for _ in range(COMMITS):
            log.check()
