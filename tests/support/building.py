"""What tests of builds share: a ledger whose projection of balances was changed, and a view store that holds builds."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import anyio
import msgspec

from bus import (
    REMOVED,
    STOP,
    Application,
    Limits,
    MemoryEventStore,
    MemoryViewStore,
    Projection,
    Query,
    Recorded,
    Removed,
    View,
    Views,
)
from bus.core.builds import Build
from bus.core.letters import Action, Request
from bus.core.stored import Checkpoint, ViewChanges, ViewTable, table_of
from bus.ports import Clock
from bus.read.projector import Projector
from bus.read.services import Services
from bus.runtime.feed import Feed
from bus.runtime.reply import reply_factory
from tests.support.ledger import (
    ACCOUNT,
    BALANCES,
    HANDLERS,
    JOURNAL,
    LEDGER,
    NOTE,
    AccountEvent,
    Balance,
    Closed,
    by_stream,
    project_balance,
)
from tests.support.telemetry import RecordingTelemetry


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


def services_of(
    application: Application = LEDGER,
    *,
    events: MemoryEventStore | None = None,
    views: MemoryViewStore | None = None,
    limits: Limits | None = None,
    clock: Clock | None = None,
) -> Services:
    """What the parts of a read side have at hand, without a bus; made inside the running event loop."""
    return Services(
        application=application,
        event_store=events or MemoryEventStore(),
        view_store=views or MemoryViewStore(),
        feed=Feed(100),
        clock=clock or TurningClock(),
        telemetry=RecordingTelemetry(),
        new_reply=reply_factory(),
        limits=limits or Limits(),
    )


def projector_of(services: Services, projection: Projection[Balance, AccountEvent], build: int = 0) -> Projector:
    """A projector at the beginning, without a lease."""
    table = msgspec.structs.replace(table_of(projection), build=build)
    return Projector(services, projection, table, Checkpoint())


def at(position: int) -> Checkpoint:
    return Checkpoint(position, "store", "account-a", position)


def request_for(action: Action, *, version: int = 1, to_drop: tuple[int, int | None] | None = None) -> Request:
    """A request to whoever runs the balances in that version."""
    return Request(
        id=f"{action} {to_drop}",
        projection="balances",
        version=version,
        action=action,
        key=None,
        position=None,
        reason="",
        asked_at=TurningClock().now(),
        to_drop=to_drop,
    )
