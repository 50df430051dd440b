"""Switching: a process of the next release that builds its views, and is killed at one step of the switch to them."""

import os
import signal
import sys
from datetime import datetime
from typing import Any, Final

import anyio

from adapters.postgres import PostgresEventStore, PostgresViewStore
from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bus import Bus, Limits
from bus.core.stored import ViewTable
from bus.ports import EventStore, ViewStore
from tests.support.building import raised

STEPS: Final = ("switching", "switched", "dropping", "dropped")
"""Just before the view store is asked, or just after it has done it and before this process knows."""
LIMITS: Final = Limits(lease_s=0.3, poll_interval_s=0.05, replaced_grace_s=0.1, projection_events_max=4)
PATIENCE_S: Final = 30.0


def die(step: str, at: str) -> None:
    if step == at:
        os.write(1, f"{step}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)


def watch(store: ViewStore, step: str) -> None:
    """Ends this process when that step is reached; everything before it is the product's."""
    switch, drop = store.switch, store.drop

    async def switched(table: ViewTable, epoch: int, over: ViewTable, since: datetime) -> bool:
        die(step, "switching")
        done = await switch(table, epoch, over, since)
        if done:
            die(step, "switched")
        return done

    async def dropped(table: ViewTable) -> bool:
        die(step, "dropping")
        done = await drop(table)
        die(step, "dropped")
        return done

    changed: Any = store
    changed.switch, changed.drop = switched, dropped


def stores_of(events: str, views: str) -> tuple[EventStore, ViewStore]:
    if events.startswith("postgresql:"):
        return PostgresEventStore(events), PostgresViewStore(views)
    return SqliteEventStore(events), SqliteViewStore(views)


async def run(events: str, views: str, step: str) -> None:
    event_store, view_store = stores_of(events, views)
    watch(view_store, step)
    async with Bus(raised(), event_store=event_store, view_store=view_store, limits=LIMITS) as bus:
        await bus.wait_settled(timeout=PATIENCE_S)
        with anyio.fail_after(PATIENCE_S):
            if step in STEPS:
                # Others see what was done before who did it hears of it; the bus stays open until then.
                await anyio.sleep_forever()
            while len([one for one in await view_store.builds() if one.table.projection == "balances"]) > 1:  # noqa: ASYNC110
                await anyio.sleep(LIMITS.poll_interval_s / 5)


if __name__ == "__main__":
    anyio.run(run, sys.argv[1], sys.argv[2], sys.argv[3])
