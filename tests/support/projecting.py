"""What tests of projectors share: a projection that fails when it is told to, and looks at what became of it."""

import anyio
import anyio.lowlevel

from bus import (
    Bus,
    MemoryEventStore,
    ProjectionStatistics,
    Recorded,
    Removed,
    Statistics,
)
from tests.support.ledger import (
    AccountEvent,
    Balance,
    Deposited,
    GetJournal,
    project_balance,
    stored_entries,
)
from tests.support.personal import PLANTED

POISON = 13
"""The amount at which `Brittle` raises."""


class Brittle:
    """A projection of balances that raises at one amount, the first `times` times."""

    def __init__(self, times: float = float("inf")) -> None:
        self.times = times
        self.raised_at: list[float] = []

    def project(self, view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
        if isinstance(recorded.event, Deposited) and recorded.event.amount == POISON and self.times > 0:
            self.times -= 1
            self.raised_at.append(anyio.current_time())
            raise ZeroDivisionError(f"a bug in project of {PLANTED}")
        return project_balance(view, recorded, key)


def of(statistics: Statistics, name: str = "balances") -> ProjectionStatistics:
    return next(one for one in statistics.projections if one.name == name)


async def journal_matches(bus: Bus, store: MemoryEventStore) -> bool:
    journal = await bus.query(GetJournal(), after=await store.head())
    return journal is not None and journal.entries == await stored_entries(store)
