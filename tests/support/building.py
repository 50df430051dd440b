"""What tests of builds share: a ledger whose projection of balances was changed, and a view store that holds builds."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import anyio

from bus import (
    REMOVED,
    STOP,
    Application,
    MemoryViewStore,
    Projection,
    Query,
    Recorded,
    Removed,
    View,
    Views,
)
from bus.core.builds import Build
from bus.core.stored import ViewChanges, ViewTable
from tests.support.ledger import (
    ACCOUNT,
    BALANCES,
    HANDLERS,
    JOURNAL,
    NOTE,
    AccountEvent,
    Balance,
    Closed,
    by_stream,
    project_balance,
)


def project_doubled(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
    """The balances of the next version: each deposit counts twice, so that its answers are told apart."""
    after = project_balance(view, recorded, key)
    if after is REMOVED or isinstance(after, Removed):
        return REMOVED
    before = 0 if view is None else view.balance
    return Balance(key, before + 2 * (after.balance - before), after.positions)


def raised(
    previous: Projection[Balance, AccountEvent] = BALANCES,
    project: Callable[[Balance | None, Recorded[AccountEvent], str], Balance | Removed] = project_doubled,
    version: int = 2,
) -> Application:
    """The ledger of the next release, whose balances are built beside the present ones."""
    projection = Projection(
        name="balances",
        version=version,
        view=Balance,
        project=project,
        key=by_stream,
        indexes=("balance", "account"),
        on_poison=STOP,
        previous=previous,
    )
    return Application(deciders=[ACCOUNT, NOTE], projections=[projection, JOURNAL], query_handlers=HANDLERS)


class Total(View):
    """Another shape."""

    account: str
    total: int


class GetTotal(Query[int | None]):
    account: str


async def get_total(query: GetTotal, views: Views) -> int | None:
    found = await views.get(Total, query.account)
    return None if found is None else found.total


def project_total(view: Total | None, recorded: Recorded[AccountEvent], key: str) -> Total | Removed:
    if isinstance(recorded.event, Closed):
        return REMOVED
    return Total(key, (0 if view is None else view.total) + recorded.event.amount)


def reshaped() -> Application:
    """The ledger of a release whose balances are views of another shape."""
    projection = Projection(
        name="balances",
        version=2,
        view=Total,
        project=project_total,
        key=by_stream,
        on_poison=STOP,
        previous=BALANCES,
    )
    return Application(deciders=[ACCOUNT, NOTE], projections=[projection], query_handlers=[get_total])


class HeldViewStore(MemoryViewStore):
    """Keeps the commits of tables that are being built waiting until it is told to let them through."""

    def __init__(self, *, shared: bool = False) -> None:
        super().__init__(shared=shared)
        self.gate = anyio.Event()
        self.passing = 0
        """How many may pass before that."""

    async def commit(self, table: ViewTable, changes: ViewChanges) -> bool:
        if table.version > 1 or table.build > 0:
            if self.passing <= 0:
                await self.gate.wait()
            self.passing -= 1
        return await super().commit(table, changes)


async def builds_of(store: MemoryViewStore, name: str = "balances") -> list[Build]:
    return [one for one in await store.builds() if one.table.projection == name]


async def states_of(store: MemoryViewStore, name: str = "balances") -> list[tuple[int, int, str]]:
    """Version, build and state of each."""
    return [(one.table.version, one.table.build, one.state) for one in await builds_of(store, name)]


class TurningClock:
    """The time of day turns with the event loop's clock, which in tests is virtual."""

    def monotonic(self) -> float:
        return anyio.current_time()

    def now(self) -> datetime:
        return datetime(2013, 1, 1, tzinfo=UTC) + timedelta(seconds=anyio.current_time())
