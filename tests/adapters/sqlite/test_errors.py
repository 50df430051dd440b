"""Which failures are certain, and that the message says what to do."""

import sqlite3

import pytest

from adapters.sqlite.errors import CommitInDoubt, after_commit, primary_code, unavailable
from bus.core.errors import StoreUnavailable


def _error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("what SQLite says")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_BUSY_SNAPSHOT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_WRITE,
    ],
)
def test_a_commit_that_could_not_write_its_last_frame_is_certainly_not_recorded(code: int) -> None:
    assert isinstance(after_commit(_error(code), "sqlite:///x"), StoreUnavailable)


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_CORRUPT,
        0,
    ],
)
def test_a_commit_that_failed_otherwise_is_in_doubt(code: int) -> None:
    assert isinstance(after_commit(_error(code), "sqlite:///x"), CommitInDoubt)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (sqlite3.SQLITE_BUSY, "another process"),
        (sqlite3.SQLITE_FULL, "free some"),
        (sqlite3.SQLITE_IOERR_WRITE, "size limit"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "permissions"),
        (sqlite3.SQLITE_CORRUPT, "backup"),
        (sqlite3.SQLITE_ERROR, "try again"),
    ],
)
def test_an_unavailable_store_says_what_happened_and_what_to_do(code: int, advice: str) -> None:
    error = unavailable(_error(code), "sqlite:///x")
    assert error.facts == {"store": "sqlite:///x"}
    for part in ("sqlite:///x", "what SQLite says", advice, "Nothing was recorded"):
        assert part in str(error)


def test_an_error_of_the_driver_itself_has_no_code() -> None:
    assert primary_code(sqlite3.ProgrammingError("closed")) == 0


def test_what_is_no_text_any_more_is_told_as_damage() -> None:
    quoted = UnicodeDecodeError("utf-8", b"malformed database schema (\xf4)", 27, 28, "invalid continuation byte")
    undecodable = sqlite3.OperationalError("Could not decode to UTF-8 column 'name' with text '\ufffd'")
    for error in (quoted, undecodable):
        assert "the file is damaged" in str(unavailable(error, "sqlite:///x"))
    assert isinstance(after_commit(quoted, "sqlite:///x"), CommitInDoubt)
