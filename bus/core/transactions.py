"""Transaction: what a batch projection is given to write with, and which statements are no business of its."""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias

Dialect: TypeAlias = Literal["sqlite", "postgresql"]
"""As SQLAlchemy calls them too."""


class Transaction(Protocol):
    """A transaction of the view store, which commits the checkpoint as well, or nothing.

    Statements are the database's own, one in each call, with its own placeholders: `?` in SQLite, `$1`, `$2` in
    PostgreSQL. One that fails raises `StatementFailed`, or `StoreUnavailable` where the database is to blame, and with
    it the whole transaction has failed, whatever is made of the exception. The transaction ends when the function
    that was given it returns or raises; to end it by a statement is refused.
    """

    @property
    def dialect(self) -> Dialect:
        """Which SQL it takes."""
        ...

    async def execute(self, sql: str, *parameters: Any) -> None:
        """Runs a statement and drops what it returns."""
        ...

    async def fetch(self, sql: str, *parameters: Any) -> Sequence[tuple[Any, ...]]:
        """All rows that a statement returns, which sees what this transaction has written."""
        ...

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Runs a statement once for each row of parameters."""
        ...


Work: TypeAlias = Callable[[Transaction], Awaitable[None]]
"""What is to be done in a transaction."""

_ENDING: Final = frozenset({"ABORT", "BEGIN", "COMMIT", "END", "PREPARE", "RELEASE", "ROLLBACK", "SAVEPOINT", "START"})
"""Words by which a statement begins that begins a transaction or ends one, or a part of one."""

_BLANK: Final = {"sqlite": re.compile(r"[\s;\ufeff]+|--[^\n]*"), "postgresql": re.compile(r"[\s;]+|--[^\n\r]*")}
_EDGE = re.compile(r"/\*|\*/")
_WORD = re.compile(r"\w*")


def transaction_word(sql: str, dialect: Dialect) -> str | None:
    """The word by which a statement would begin or end a transaction; None for what is allowed."""
    word = _WORD.match(sql, _start(sql, dialect))
    found = word.group().upper() if word is not None else ""
    return found if found in _ENDING else None


def _start(sql: str, dialect: Dialect) -> int:
    """Where the statement begins, behind blanks and comments, as the database reads them."""
    place = 0
    while True:
        if (blank := _BLANK[dialect].match(sql, place)) is not None:
            place = blank.end()
        elif sql.startswith("/*", place):
            place = _comment_end(sql, place, is_nested=dialect == "postgresql")
        else:
            return place


def _comment_end(sql: str, place: int, *, is_nested: bool) -> int:
    depth = 0
    while (edge := _EDGE.search(sql, place)) is not None:
        place = edge.end()
        if edge.group() == "*/":
            depth -= 1
        elif is_nested or depth == 0:
            depth += 1
        if depth == 0:
            return place
    return len(sql)
