"""The workload and the limits that every figure is held against; later changes leave this file alone.

The limits are what the same work costs without a bus: a bare asyncio loop in memory, and `sqlite3` itself on disk. As
long as nobody touches them, the ratios of two releases can be compared.
"""

import asyncio
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, assert_never

import msgspec

from bus.core import Command, Decider, Event, Rejected, State

ACCOUNTS: Final = 2_000
SEED: Final = 1

# ---------------------------------------------------------------- the domain: a small bank


class OpenAccount(Command):
    account_id: str
    owner: str


class Deposit(Command):
    account_id: str
    amount: int


class Withdraw(Command):
    account_id: str
    amount: int


AccountCommand: TypeAlias = OpenAccount | Deposit | Withdraw


class AccountOpened(Event, tag="account-opened"):
    owner: str


class Deposited(Event, tag="deposited"):
    amount: int
    balance: int


class Withdrawn(Event, tag="withdrawn"):
    amount: int
    balance: int


AccountEvent: TypeAlias = AccountOpened | Deposited | Withdrawn


class AlreadyOpen(Rejected): ...


class NotOpen(Rejected): ...


class Overdrawn(Rejected): ...


class Account(State):
    is_open: bool = False
    balance: int = 0


def decide(command: AccountCommand, account: Account) -> Sequence[AccountEvent]:
    match command:
        case Deposit(_, amount):
            if not account.is_open:
                raise NotOpen
            return (Deposited(amount, account.balance + amount),)
        case Withdraw(_, amount):
            if not account.is_open:
                raise NotOpen
            if amount > account.balance:
                raise Overdrawn
            return (Withdrawn(amount, account.balance - amount),)
        case OpenAccount(_, owner):
            if account.is_open:
                raise AlreadyOpen
            return (AccountOpened(owner),)
        case _:
            assert_never(command)


def evolve(account: Account, event: AccountEvent) -> Account:
    match event:
        case Deposited(_, balance) | Withdrawn(_, balance):
            return Account(True, balance)
        case AccountOpened():
            return Account(True, account.balance)
        case _:
            assert_never(event)


def identify(command: AccountCommand) -> str:
    return command.account_id


ACCOUNT: Final = Decider(category="account", initial=Account(), identify=identify, decide=decide, evolve=evolve)

# ---------------------------------------------------------------- the workload


def openings(accounts: int = ACCOUNTS) -> list[AccountCommand]:
    """One command for each account, which must be carried out before any deposit."""
    return [OpenAccount(f"{number:06d}", f"owner of {number}") for number in range(accounts)]


def deposits(count: int, accounts: int = ACCOUNTS, seed: int = SEED) -> list[AccountCommand]:
    """Deposits into accounts drawn at random, the same ones every time."""
    drawn = random.Random(seed)
    return [Deposit(f"{drawn.randrange(accounts):06d}", drawn.randrange(1, 10_000)) for _ in range(count)]


Send: TypeAlias = Callable[[AccountCommand], Coroutine[Any, Any, object]]


async def drive(send: Send, commands: Sequence[AccountCommand], clients: int) -> float:
    """Sends the commands from `clients` tasks, each waiting for its answer before its next one; returns seconds."""

    async def client(own: Sequence[AccountCommand]) -> None:
        for command in own:
            await send(command)

    shares = [commands[number::clients] for number in range(min(clients, len(commands)))]
    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for share in shares:
            group.create_task(client(share))
    return time.perf_counter() - begin


# ---------------------------------------------------------------- the limit in memory: a task and a queue per aggregate

Mail: TypeAlias = tuple[AccountCommand, asyncio.Future[None]]


class BareLoop:
    """What remains of a bus without metadata, store, receipts, deadlines, bounds and recovery."""

    def __init__(self) -> None:
        self._queues: dict[str, asyncio.Queue[Mail]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def send(self, command: AccountCommand) -> None:
        queue = self._queues.get(command.account_id)
        if queue is None:
            queue = self._queues[command.account_id] = asyncio.Queue()
            self._tasks.append(asyncio.create_task(self._actor(queue)))
        reply: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.put_nowait((command, reply))
        await reply

    async def _actor(self, queue: asyncio.Queue[Mail]) -> None:
        account = Account()
        while True:
            command, reply = await queue.get()
            try:
                for event in decide(command, account):
                    account = evolve(account, event)
            except Rejected as rejected:
                reply.set_exception(rejected)
            else:
                reply.set_result(None)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


# ---------------------------------------------------------------- the limit on disk: sqlite3 itself

Row: TypeAlias = tuple[str, int, str, bytes, int, str, bytes]
"""Stream, version, type, payload, recorded_at in microseconds, command id, fingerprint."""


RECORDED_AT: Final = 1_700_000_000_000_000


def rows_of(commands: Iterable[AccountCommand]) -> list[Row]:
    """What these commands record, in the bytes in which the bus stores it."""
    encode = msgspec.json.Encoder().encode
    chance = random.Random(SEED)
    accounts: dict[str, tuple[Account, int]] = {}
    rows: list[Row] = []
    for number, command in enumerate(commands):
        account, version = accounts.get(command.account_id, (Account(), 0))
        for event in decide(command, account):
            account, version = evolve(account, event), version + 1
            name = str(type(event).__struct_config__.tag)
            stream = f"account-{command.account_id}"
            fingerprint = chance.randbytes(8)
            rows.append((stream, version, name, encode(event), RECORDED_AT, command_id(number, chance), fingerprint))
        accounts[command.account_id] = account, version
    return rows


def command_id(number: int, chance: random.Random) -> str:
    """Ids that grow, as the bus makes them: a time, a sequence and chance, in 36 characters."""
    return f"01900000-{number >> 12:04x}-7{number & 0xFFF:03x}-8000-{chance.getrandbits(48):012x}"


class RawSqlite:
    """The plain form of an event store: one table, unique by stream and version and by command id; WAL, durable."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        # One thread at a time uses it, though not the one that opened it.
        self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._connection.executescript(
            """
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = FULL;
            CREATE TABLE events (
                position INTEGER PRIMARY KEY,
                stream TEXT NOT NULL, version INTEGER NOT NULL, type TEXT NOT NULL, payload BLOB NOT NULL,
                recorded_at INTEGER NOT NULL, command_id TEXT NOT NULL, fingerprint BLOB NOT NULL,
                UNIQUE (stream, version)
            );
            CREATE UNIQUE INDEX events_by_command ON events (command_id);
            """
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def insert(self, rows: Sequence[Row]) -> None:
        """One durable transaction."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(
            "INSERT INTO events (stream, version, type, payload, recorded_at, command_id, fingerprint)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        self._connection.execute("COMMIT")

    def insert_all(self, rows: Sequence[Row], rows_per_transaction: int) -> float:
        """All rows, in transactions of that size; returns seconds."""
        begin = time.perf_counter()
        for first in range(0, len(rows), rows_per_transaction):
            self.insert(rows[first : first + rows_per_transaction])
        return time.perf_counter() - begin

    def fetch_and_decode(self, streams: Iterable[str]) -> tuple[int, float]:
        """Reads each of the streams and decodes its events; returns their number and the seconds taken."""
        decoders = {str(t.__struct_config__.tag): msgspec.json.Decoder(t) for t in ACCOUNT.events}
        begin, count = time.perf_counter(), 0
        for stream in streams:
            query = "SELECT type, payload FROM events WHERE stream = ? ORDER BY version"
            for name, payload in self._connection.execute(query, (stream,)):
                decoders[name].decode(payload)
                count += 1
        return count, time.perf_counter() - begin


class RawThread:
    """Durable transactions in a thread of their own, awaited from the event loop: one hop there and one back."""

    def __init__(self, store: RawSqlite) -> None:
        self._store = store
        self._jobs: SimpleQueue[tuple[Sequence[Row], asyncio.Future[None]] | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    async def insert(self, rows: Sequence[Row]) -> None:
        done: asyncio.Future[None] = self._loop.create_future()
        self._jobs.put((rows, done))
        await done

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            rows, done = job
            self._store.insert(rows)
            self._loop.call_soon_threadsafe(done.set_result, None)
