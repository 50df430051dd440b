"""The ports of view stores: where views are kept, read, and asked for things."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from bus.core.builds import Build, Standing
from bus.core.finding import Place, Where
from bus.core.letters import DeadLetter, Request
from bus.core.projection import IndexValue
from bus.core.stored import (
    Checkpoint,
    Claim,
    ViewChanges,
    ViewTable,
)
from bus.core.transactions import Work


class ViewReader(Protocol):
    """One consistent snapshot of all views."""

    async def checkpoint(self, table: ViewTable) -> Checkpoint:
        """How far the views in this snapshot have come."""
        ...

    async def get(self, table: ViewTable, key: str) -> bytes | None:
        """The payload of one view."""
        ...

    async def find(
        self,
        table: ViewTable,
        where: Where,
        order_by: str | None,
        descending: bool,
        limit: int,
        *,
        after: Place | None = None,
    ) -> Sequence[tuple[str, bytes]]:
        """Keys and payloads of up to `limit` views whose indexed values are as `where` says.

        Ordered by the indexed field `order_by`: None, then numbers, then text by code point, all reversed if
        `descending`; ties, and everything when `order_by` is None, ascending by key. With `after` only those that
        follow its place in this order, whether or not a view stands there. `bus/core/finding.py` has the conditions,
        and `steps`, which makes of all this what SQL can say.
        """
        ...

    async def letters(self, table: ViewTable, first: int, last: int) -> Sequence[DeadLetter]:
        """The letters of events at the positions from `first` to `last`, by position and key; up to 1,000 of them."""
        ...


class ViewDesk(Protocol):
    """What may be asked of views beside whoever projects them. Used inside `async with`."""

    @property
    def url(self) -> str:
        """The store's name for people; no password in it."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    async def builds(self) -> Sequence[Build]:
        """All tables that there are, by projection, version and build; how far each has come, and what it is for."""
        ...

    async def parked(self, table: ViewTable) -> Mapping[str, int]:
        """The keys that have letters, with their numbers."""
        ...

    async def letters(
        self, table: ViewTable, key: str | None = None, *, after: tuple[int, str] = (0, ""), limit: int
    ) -> Sequence[DeadLetter]:
        """Up to `limit` letters, of one key or of all, that follow a position and key, by position and then key."""
        ...

    async def ask(self, request: Request) -> None:
        """Keeps a request for whoever runs the projection; of those that were answered it may forget old ones."""
        ...

    async def requests(self, *, is_open: bool, limit: int) -> Sequence[Request]:
        """Up to `limit` requests, oldest first: those that nobody has answered, or else those that somebody has."""
        ...

    async def asked(self, request_id: str) -> Request | None:
        """The request as it is now; None where it was never asked, or forgotten."""
        ...


class ViewStore(ViewDesk, Protocol):
    """Where views are kept. Used by one bus at a time, inside `async with`; it may be opened again later.

    Where several buses keep their views in one place, each table is written by whoever holds its lease. A lease lapses
    by the store's clock; its epoch, which every commit names, goes up when it changes hands, so that who was paused
    and has lost it meanwhile writes nothing. It never comes again, not even where a table was dropped and made anew.
    """

    @property
    def shared(self) -> bool:
        """Whether other buses may commit views to the same place; if not, leases never lapse."""
        ...

    async def prepare(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        """Makes room for these tables, keeps what they hold, and returns how far each has come.

        A table that was not there answers from now on. Of one that is kept under other indexes than it names now
        nothing is changed; it must be given to `reindex` before anything else.
        """
        ...

    async def known(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        """As `prepare`, but makes nothing: a table that is not there, since it was dropped, is not in the answer."""
        ...

    async def build(self, table: ViewTable, since: datetime) -> None:
        """Makes room for a table that is to be built beside another one; leaves one that is there as it is."""
        ...

    async def switch(self, table: ViewTable, epoch: int, over: ViewTable, since: datetime) -> bool:
        """Lets `table` answer in place of `over`, as one, from now on; also back again, while both are there.

        Returns False and changes nothing where `table` is not there or its epoch is another, where `over` has come
        further or does not answer, or where yet another one does; where both are as they are wanted, it returns True.
        An `over` that is not there hinders nothing, as long as nothing answers. Raises `StoreUnavailable` when nothing
        was changed; any other exception leaves that open.
        """
        ...

    async def drop(self, table: ViewTable) -> bool:
        """Removes a table with its views, letters, standing and lease; False, and nothing, for the one that answers.

        True where there is none. Whoever still uses it gets `Unusable`, and no claim of it; who has a snapshot from
        before may read on, or get `Unusable` as well. `prepare` and `build` make it anew, empty, and in an epoch
        that no table of that name was in.
        """
        ...

    async def tell(self, table: ViewTable, standing: Standing) -> None:
        """Keeps what is to be known of a table from outside, in place of what was said before; may raise anything."""
        ...

    async def reindex(
        self, table: ViewTable, values_of: Callable[[bytes], tuple[IndexValue, ...]], views_max: int
    ) -> None:
        """Indexes the views of a table by what `table.indexes` names now, and by nothing else.

        `values_of` gives a payload's index values, in that order; up to `views_max` views are in memory at a time.
        Happens as one: whoever reads sees all views under the old indexes or all under the new, and so does who comes
        after a crash. Whoever still uses the table as it was, such as another process, gets `Unusable`, for reading as
        for writing, and changes nothing. Does nothing where the indexes are these already.

        Raises `Unusable` for a view that cannot be indexed so and for a table that is not there, and whatever
        `values_of` raises; nothing is changed then. Any other exception leaves the old indexes or the new.
        """
        ...

    async def claim(self, tables: Sequence[ViewTable], owner: str, lease_s: float) -> Mapping[ViewTable, Claim]:
        """Takes the leases of tables that nobody else holds, renews those of `owner`, and tells who holds each.

        They last `lease_s` seconds from now. A lease that has lapsed and was not taken meanwhile is renewed without a
        new epoch. Where the store is not shared, every claim is granted. The tables must have been prepared; those
        that were dropped since are missing in the answer.
        """
        ...

    async def release(self, tables: Sequence[ViewTable], owner: str) -> None:
        """Gives up those leases of these tables that `owner` holds; others may take them at once."""
        ...

    async def load(self, table: ViewTable, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The payloads of those keys as last committed; keys without a view are missing."""
        ...

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        """Writes rows and checkpoint in one transaction.

        Returns False and writes nothing if the stored checkpoint is not `changes.expected`, a letter of
        `changes.unparked` is not there or, in a shared store, the epoch is not `changes.epoch`. Raises
        `StoreUnavailable` when nothing was written, `ValueError` when that is because a view holds what cannot be
        stored, such as a NUL character in its key; any other exception leaves open what was written.
        """
        ...

    async def answer(self, request: Request) -> None:
        """Keeps a request as it is now, answered, unless somebody was quicker: the first answer stands."""
        ...

    def snapshot(self) -> AbstractAsyncContextManager[ViewReader]:
        """A reader that sees one committed state of all tables, whatever is committed meanwhile."""
        ...


@runtime_checkable
class SqlViewStore(Protocol):
    """What a view store that speaks SQL does besides: it lets a user's statements into the checkpoint's transaction.

    `work` is awaited once in each call, with a transaction that nothing else comes into. A statement that fails raises
    `StatementFailed` in it, or `StoreUnavailable` where that is no fault of the statement or its data; either way the
    whole call raises in the end, even where `work` goes on. Statements that would begin or end a transaction are
    refused so, as is every use once `work` has returned. When `work` raises or is cancelled everything is rolled back,
    and its exception is raised, save that `StoreUnavailable` takes the place of what `work` makes of it. A transaction
    whose process no longer answers is ended `timeout_s` after its last statement, where others wait for it.
    """

    async def set_up(self, table: ViewTable, work: Work, timeout_s: float) -> None:
        """Makes room for a table, as `prepare` does, and does `work`, all as one; nothing where the table is there.

        Of several that come at once one does it, and the others find it done. Nothing was changed when it raises
        `StoreUnavailable` or what `work` raised; any other exception leaves open whether everything was.
        """
        ...

    async def write(self, table: ViewTable, changes: ViewChanges, work: Work, timeout_s: float) -> bool:
        """Does `work` and moves the checkpoint, in one transaction; `changes` has no views and no letters.

        Returns False and writes nothing if checkpoint or epoch are not the expected ones, as `commit` does, whether
        before `work`, which is not done then, or after it. Raises `StoreUnavailable`, `StatementFailed`, also for what
        the database refuses only at the end, or what `work` raised when nothing was written; any other exception
        leaves that open.
        """
        ...
