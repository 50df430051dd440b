"""What tests of projections on the command line share: a ledger in files, and standings of its views."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread

from adapters.cli import run
from adapters.cli.builds import Row
from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bus import Application, Bus, Limits
from bus.core.builds import Standing

LIMITS = Limits(projection_backoff_s=0.001, poll_interval_s=0.05, standing_interval_s=0.05)
NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def opened(folder: Path, application: Application, limits: Limits = LIMITS) -> Bus:
    return Bus(
        application,
        event_store=SqliteEventStore(folder / "ledger.db"),
        view_store=SqliteViewStore(folder / "ledger-views.db"),
        limits=limits,
    )


def store_of(folder: Path) -> str:
    """The event store's URL."""
    return f"sqlite:///{folder / 'ledger.db'}"


async def call(*arguments: str) -> int:
    """The exit code of a command that runs while the bus does."""
    return await anyio.to_thread.run_sync(partial(run, list(arguments)))


def standing(**changes: Any) -> Standing:
    told: dict[str, Any] = {
        "told_at": datetime.now(UTC),
        "owner": "host/1/abc",
        "events_per_s": 50.0,
        "batch_events": 12.0,
        "attempts": 0,
        "parked_keys": 0,
        "last_error": None,
        "stopped": None,
    }
    return Standing(**{**told, **changes})


def row(**changes: Any) -> Row:
    """Views that answer, and are at 80 of 100."""
    sound: dict[str, Any] = {
        "projection": "balances",
        "version": 1,
        "build": 0,
        "state": "answering",
        "since": None,
        "drops_at": None,
        "position": 80,
        "head": 100,
        "progress_percent": 80.0,
        "lag_events": 20,
        "lag_s": 150.0,
        "events_per_s": 1_234.0,
        "left_s": 10.0,
        "batch_events": 12.0,
        "attempts": 0,
        "retries": 3,
        "parked_keys": 2,
        "dead_letters": 5,
        "stopped": None,
        "last_error": None,
        "owner": "host/1/abc",
        "told_at": NOON - timedelta(seconds=5),
    }
    return Row(**{**sound, **changes})


async def until(is_so: Callable[[], bool]) -> None:
    """Returns when it is so, while a bus is at work; a failed test where that takes too long."""
    with anyio.fail_after(20):
        while not is_so():
            await anyio.lowlevel.checkpoint()
