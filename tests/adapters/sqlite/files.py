"""What tests look at in database files, past the stores."""

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as any other program opens it."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def fetch(path: Path, query: str, *parameters: object) -> list[Any]:
    """All rows of a query, by a connection of its own."""
    with raw(path) as connection:
        return connection.execute(query, parameters).fetchall()


def schema(path: Path) -> list[tuple[str, ...]]:
    """What is in the file besides rows: every table and index in SQL, without comments and spaces."""
    rows = fetch(path, "SELECT type, name, coalesce(sql, '') FROM sqlite_schema ORDER BY name")
    return [(kind, name, "".join(re.sub("--.*", "", sql).split())) for kind, name, sql in rows]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def crashed(folder: Path) -> Path:
    """A folder with what the end of the process at this moment would leave of the open stores in `folder`."""
    left = folder / "left"
    left.mkdir()
    for path in folder.iterdir():
        if path.is_file() and path.suffix != ".lock":
            shutil.copy(path, left)
    return left


class FailingConnection(sqlite3.Connection):
    """A connection of which one statement fails with one of SQLite's codes; if `late`, after it was carried out."""

    fails: str = ""
    code: int = 0
    late: bool = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if self.fails and sql.startswith(self.fails):
            if self.late:
                super().execute(sql, parameters)
            error = sqlite3.OperationalError(f"{self.fails} failed")
            error.sqlite_errorcode = self.code
            raise error
        return super().execute(sql, parameters)
