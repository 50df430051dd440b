"""Errors of the driver, sorted by two questions: is the data to blame, and has the transaction ended for certain?"""

import asyncio

import asyncpg

from bus.core.errors import StoreUnavailable

DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, EOFError)
"""What the driver raises when the server says no, is not there, or goes away; a timeout is an `OSError`."""

CANCELLED = "57014"
LOCK_NOT_AVAILABLE = "55P03"
UNIQUE_VIOLATION = "23505"

_DATA_CLASSES = ("22", "54", "23502", "23514")
"""SQLSTATEs of values that the tables cannot hold: data exceptions, limits exceeded, NULL and checks."""

_ADVICE = {
    "08": "the connection was lost; it is opened again at the next attempt",
    "25006": "it takes no writes, as a standby does; connect to the primary",
    "28": "the server refuses this user; check the name, the password and pg_hba.conf",
    "3D": "there is no such database; create it first",
    "42501": "the role lacks a privilege; grant it",
    "42": "its tables are not as this release made them; see the cause",
    "53100": "the server's disk is full; free some, then try again",
    "53300": "the server has too many connections; raise max_connections or use fewer",
    "53": "the server is out of resources; free some, then try again",
    "55P03": "somebody has been reading or changing it for longer than one waits for that; try again",
    "57014": "the server cancelled the statement, by statement_timeout or on request; raise the limit or try again",
    "57": "the server is shutting down or starting; try again",
}


class InDoubt(Exception):
    """The connection was lost, or the wait ended, while a transaction was under way, and may yet be committed."""


def sqlstate(error: BaseException) -> str:
    """The server's code, empty where the server said nothing."""
    code: str | None = getattr(error, "sqlstate", None)
    return code or ""


def is_data_error(error: BaseException) -> bool:
    """Whether a value cannot be stored, by the word of the server or of the driver, which then sent nothing."""
    if isinstance(error, asyncpg.PostgresError):
        return sqlstate(error).startswith(_DATA_CLASSES)
    return isinstance(error, (asyncpg.InterfaceError, UnicodeError)) and isinstance(error, ValueError)


def has_ended(error: BaseException) -> bool:
    """Whether the server answered and goes on serving the connection: then the statement is over, whatever it did.

    FATAL and PANIC end the session, perhaps in the middle of a commit.
    """
    if not isinstance(error, asyncpg.PostgresError) or not sqlstate(error):
        return False
    severity: str | None = getattr(error, "severity_en", None) or getattr(error, "severity", None)
    return severity == "ERROR"


def is_certain(error: BaseException) -> bool:
    """Whether nothing was committed by a procedure that failed.

    Its commit is the last thing that it does, and after that nothing can go wrong but that it is cancelled.
    """
    return has_ended(error) and sqlstate(error) != CANCELLED


def unavailable(error: BaseException, url: str) -> StoreUnavailable:
    """The driver's error as the bus knows it, for when it is certain that nothing was recorded."""
    return StoreUnavailable(f"{url} is unavailable ({told(error)}): {advice(error)}. Nothing was recorded", store=url)


def told(error: BaseException) -> str:
    """The error in one line. Neither the server nor the driver puts a password into it."""
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return "no answer in time"
    return (str(error) or type(error).__name__).partition("\n")[0]


def advice(error: BaseException) -> str:
    """What to do, by the server's code: the longest that is known."""
    code = sqlstate(error)
    for length in (5, 2):
        if code[:length] in _ADVICE:
            return _ADVICE[code[:length]]
    return "try again, or see the cause" if code else "check that the server runs and can be reached; then try again"
