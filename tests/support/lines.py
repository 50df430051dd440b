"""Lines: a batch projection of the ledger, whose table holds a line for each event of two categories."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from bus import PARK, Application, BatchProjection, Query, Recorded, Transaction, Views
from tests.support.ledger import ACCOUNT, HANDLERS, JOURNAL, NOTE, AccountEvent, Deposited, NoteWritten, balances
from tests.support.sql_views import ToldSqlViewStore

LineEvent: TypeAlias = AccountEvent | NoteWritten
Handle: TypeAlias = Callable[[Sequence[Recorded[LineEvent]], Transaction], Awaitable[None]]
Line: TypeAlias = tuple[int, str, int]
"""Position, stream and amount."""

READ = "SELECT position, stream, amount FROM lines ORDER BY position"


class GetLines(Query[list[Line]]):
    """All lines there are."""


async def set_up(transaction: Transaction) -> None:
    # Without a key, so that what is written twice is seen twice.
    await transaction.execute("CREATE TABLE lines(position bigint NOT NULL, stream text NOT NULL, amount integer)")


async def handle(batch: Sequence[Recorded[LineEvent]], transaction: Transaction) -> None:
    places = "?, ?, ?" if transaction.dialect == "sqlite" else "$1, $2, $3"
    rows = [(one.position, one.stream, one.event.amount if isinstance(one.event, Deposited) else 0) for one in batch]
    await transaction.execute_many(f"INSERT INTO lines VALUES ({places})", rows)


def lines(handle: Handle = handle, version: int = 1) -> BatchProjection[LineEvent]:
    """The projection, if asked with another function."""
    return BatchProjection(name="lines", version=version, handle=handle, setup=set_up, answers=(GetLines,))


class Reads:
    """Answers by a connection of its own."""

    def __init__(self, fetch: Callable[[str], Awaitable[list[Line]]]) -> None:
        self._fetch = fetch

    async def get_lines(self, query: GetLines, views: Views) -> list[Line]:
        return await self._fetch(READ)


class Own:
    """A view store in memory, whose tables are read past the bus."""

    def __init__(self, views: ToldSqlViewStore | None = None) -> None:
        self.views = views or ToldSqlViewStore()
        self.asked = 0
        """How often a query handler has read."""

    @property
    def lines(self) -> list[Line]:
        return [(position, stream, amount) for position, stream, amount in self.views.user.rows(READ)]

    @property
    def reads(self) -> Reads:
        return Reads(self._fetch)

    async def _fetch(self, query: str) -> list[Line]:
        self.asked += 1
        return self.lines


def bookkeeping(reads: Reads, projection: BatchProjection[LineEvent] | None = None) -> Application:
    """The ledger with lines, and other projections beside them."""
    return Application(
        deciders=[ACCOUNT, NOTE],
        projections=[projection or lines(), balances(on_poison=PARK), JOURNAL],
        query_handlers=[*HANDLERS, reads.get_lines],
    )
