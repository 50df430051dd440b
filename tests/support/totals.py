"""Totals of the bank's accounts, and view stores that fail in opening, writing and closing."""

from typing import Any, Self

import anyio

from bus import STOP, Application, MemoryViewStore, Projection, Recorded, StoreUnavailable, View
from tests.support.bank import ACCOUNT, Deposited
from tests.support.personal import PLANTED


class Total(View):
    amount: float


def project(view: Total | None, recorded: Recorded[Deposited], key: str) -> Total:
    if recorded.event.amount < 0:
        raise ValueError(f"a bug in a projection of {PLANTED}")
    return Total((view.amount if view else 0) + recorded.event.amount)


TOTALS = Projection(
    name="totals", version=1, view=Total, project=project, key=lambda recorded: recorded.stream_id, on_poison=STOP
)
WITH_VIEWS = Application(deciders=[ACCOUNT], projections=[TOTALS])


class Watched(MemoryViewStore):
    """A view store that can fail to open and to close."""

    def __init__(self, *, failing: bool = False) -> None:
        super().__init__()
        self.failing = failing

    async def __aenter__(self) -> Self:
        if self.failing:
            raise StoreUnavailable("no views", store="watched:")
        return await super().__aenter__()

    @property
    def is_open(self) -> bool:
        return bool(self._users)


class Stuck(MemoryViewStore):
    """A view store that never finishes a commit."""

    async def commit(self, *_: Any) -> bool:
        await anyio.sleep_forever()
        return False


class FailsToClose(Watched):
    async def __aexit__(self, *_: Any) -> None:
        await super().__aexit__(None, None, None)
        raise OSError("the store does not close")
