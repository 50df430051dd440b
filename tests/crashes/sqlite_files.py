"""SQLite files for tests of damage: a bus on them, what it has acknowledged, and what it still makes of them."""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bus import Application, Bus, Limits, Receipt
from bus.ports import EventStore
from tests.crashes.jars import JARS, Fill

EVENTS, VIEWS = "events.db", "views.db"
WRITE_SIDE = Application(deciders=JARS.deciders)
LIMITS = Limits(
    shutdown_timeout_s=0.5,
    append_attempts_max=3,
    append_backoff_s=0.01,
    projection_backoff_s=0.01,
    projection_backoff_max_s=0.05,
)


def bus_on(folder: Path, application: Application = JARS, event_store: EventStore | None = None) -> Bus:
    return Bus(
        application,
        event_store=event_store or SqliteEventStore(folder / EVENTS, readers_max=1),
        view_store=SqliteViewStore(folder / VIEWS, readers_max=1) if application.projections else None,
        limits=LIMITS,
    )


class Sent(msgspec.Struct, frozen=True):
    """A command as a client keeps it, to send it again."""

    command_id: str
    command: Fill
    receipt: Receipt


async def fill(bus: Bus, first: int, count: int) -> list[Sent]:
    """Sends so many commands, of up to three events each, one batch."""
    commands = [Fill(f"j-{number % 60}", [number] * (1 + number % 3)) for number in range(first, first + count)]
    ids = [f"c-{number}" for number in range(first, first + count)]
    outcomes = await bus.send_many(commands, command_ids=ids)
    sent: list[Sent] = []
    for command_id, command, outcome in zip(ids, commands, outcomes, strict=True):
        assert isinstance(outcome, Receipt), outcome
        sent.append(Sent(command_id, command, outcome))
    return sent


async def check_all_there(bus: Bus, sent: Sequence[Sent]) -> None:
    """Each command is in the store once, at the place of its receipt, and its id is known; there are no gaps."""
    recorded = [one async for one in bus.events()]
    assert [one.position for one in recorded] == list(range(1, len(recorded) + 1))
    last: dict[str, tuple[str, int, int]] = {}
    versions: dict[str, int] = {}
    for event in recorded:
        last[event.command_id] = (event.stream, event.version, event.position)
        assert event.version == versions.get(event.stream, 0) + 1
        versions[event.stream] = event.version
    for one in sent:
        assert last[one.command_id] == (one.receipt.stream, one.receipt.version, one.receipt.position)
        again = await bus.send(one.command, command_id=one.command_id)
        assert again.duplicate
        assert again.position == one.receipt.position


def overwrite(path: Path, at: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def size(path: Path) -> int:
    return os.stat(path).st_size


def remove(folder: Path, prefix: str) -> None:
    """All files whose names begin so."""
    for path in folder.glob(f"{prefix}*"):
        path.unlink()
