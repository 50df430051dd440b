"""Sharing: a program that sends its part of a load to a store that other processes write to, and notes each answer.

It writes a line for every so many answers to standard output, and ends when everything is answered.
"""

import asyncio
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from adapters.postgres import PostgresEventStore, PostgresViewStore
from bus import Bus, NotRecorded, OutcomeUnknown, Rejected
from tests.crashes.jars import JARS, Draw, Fill
from tests.crashes.load import TOO_MUCH
from tests.crashes.notes import Answered
from tests.crashes.worker import LIMITS

PROCESSES: Final = 4
COMMANDS: Final = 20_000
HOT_JARS: Final = 10
JARS_MAX: Final = 200
SENDERS: Final = 100
"""In each process, each with one command on its way."""
ANSWERS_PER_LINE: Final = 100


class Noted(msgspec.Struct, frozen=True):
    """What a process was told of a command, a line of its notes."""

    command_id: str
    receipt: Answered | None = None
    """None where it was rejected."""
    duplicate: bool = False
    failures: tuple[str, ...] = ()
    """The codes by which it was refused before."""


def command(seed: int, number: int) -> Fill | Draw:
    """The same in every process."""
    chance = random.Random(seed * COMMANDS + number)
    jar = str(chance.randrange(HOT_JARS) if chance.random() < 0.5 else chance.randrange(HOT_JARS, JARS_MAX))
    if chance.random() < 0.05:
        return Draw(jar, chance.choice([0, TOO_MUCH]))
    return Fill(jar, [chance.randrange(100) for _ in range(chance.choice([1, 1, 1, 2, 6]))])


def numbers(seed: int, process: int) -> Iterator[int]:
    """Of the commands that a process sends: its own, some of them again, and some that another one sends as well."""
    chance = random.Random(seed * PROCESSES + process)
    for number in range(process, COMMANDS, PROCESSES):
        yield number
        if chance.random() < 0.05:
            yield number
        if chance.random() < 0.05:
            yield min(COMMANDS - 1, number + chance.randrange(1, PROCESSES))
        if chance.random() < 0.02:
            yield chance.randrange(number + 1)


class Sharing:
    """One process."""

    def __init__(self, bus: Bus, *, seed: int, process: int, notes: int) -> None:
        self._bus = bus
        self._seed = seed
        self._numbers = numbers(seed, process)
        self._notes = notes
        self._answers = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._send())

    async def _send(self) -> None:
        for number in self._numbers:
            noted = await self._answered(f"c-{number}", command(self._seed, number))
            # At once, and in one piece, so that whoever is killed has noted all that it was told but the very last.
            os.write(self._notes, msgspec.json.encode(noted) + b"\n")
            self._answers += 1
            if self._answers % ANSWERS_PER_LINE == 0:
                print(self._answers, flush=True)

    async def _answered(self, command_id: str, command: Fill | Draw) -> Noted:
        failures: list[str] = []
        while True:
            try:
                told = await self._bus.send(command, command_id=command_id)
            except Rejected:
                return Noted(command_id, failures=tuple(failures))
            except (NotRecorded, OutcomeUnknown) as error:
                failures.append(error.code)
            else:
                receipt = Answered(told.command_id, told.stream, told.version, told.position, len(told.events))
                return Noted(command_id, receipt, told.duplicate, tuple(failures))


async def share(url: str, seed: int, process: int, path: Path) -> None:
    stores = PostgresEventStore(url), PostgresViewStore(url)
    notes = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    async with Bus(JARS, event_store=stores[0], view_store=stores[1], limits=LIMITS) as bus:
        await Sharing(bus, seed=seed, process=process, notes=notes).run()


if __name__ == "__main__":
    asyncio.run(share(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
