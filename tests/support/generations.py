"""A bank through the years: what its first release recorded, and the release that reads all of it today."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from bus import (
    STOP,
    Application,
    Command,
    Decider,
    Drop,
    Event,
    MemoryEventStore,
    Projection,
    Query,
    Recorded,
    Split,
    State,
    Upcaster,
    View,
    Views,
)
from bus.core.stored import Append, NewEvent
from tests.contracts.entries import NOON

# What the first release recorded, in the bytes that it wrote. `deposited@2` was written by a release in between.

OPENED_BY = NewEvent("opened-by", b'{"$type":"opened-by","by":"ada"}')
DEPOSITED_1 = NewEvent("deposited", b'{"$type":"deposited","amount":5}')
DEPOSITED_2 = NewEvent("deposited@2", b'{"$type":"deposited@2","cents":700}')
MOVED = NewEvent("moved", b'{"$type":"moved","amounts":[1,2,3],"fee":4}')
PINGED = NewEvent("pinged", b'{"$type":"pinged"}')

# The release of today.


class Deposit(Command):
    account: str
    cents: int


class Opened(Event, tag="opened"):
    owner: str


class Deposited(Event, tag="deposited@3"):
    cents: int
    currency: str


class Withdrawn(Event, tag="withdrawn"):
    cents: int


AccountEvent: TypeAlias = Opened | Deposited | Withdrawn


class Account(State):
    owner: str = ""
    cents: int = 0


def decide(command: Deposit, account: Account) -> Sequence[AccountEvent]:
    return [Deposited(command.cents, "EUR")]


def evolve(account: Account, event: AccountEvent) -> Account:
    match event:
        case Opened(owner):
            return Account(owner, account.cents)
        case Deposited(cents):
            return Account(account.owner, account.cents + cents)
        case Withdrawn(cents):
            return Account(account.owner, account.cents - cents)


ACCOUNT = Decider(
    category="account", initial=Account(), identify=lambda command: command.account, decide=decide, evolve=evolve
)


class Statement(View):
    lines: list[tuple[int, int, int]]
    """Position, version and cents of every deposit and withdrawal, in the order in which they came."""


def project(view: Statement | None, recorded: Recorded[Deposited | Withdrawn], key: str) -> Statement:
    event = recorded.event
    cents = event.cents if isinstance(event, Deposited) else -event.cents
    return Statement([*(view.lines if view else []), (recorded.position, recorded.version, cents)])


STATEMENTS = Projection(
    name="statements",
    version=1,
    view=Statement,
    project=project,
    key=lambda recorded: recorded.stream_id,
    on_poison=STOP,
)


class GetStatement(Query[Statement | None]):
    account: str


async def get_statement(query: GetStatement, views: Views) -> Statement | None:
    return await views.get(Statement, query.account)


def in_cents(data: dict[str, Any]) -> dict[str, Any]:
    return {"cents": data["amount"] * 100}


def in_euros(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"currency": "EUR"}


def taken_apart(data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    deposits = [("deposited", {"amount": amount}) for amount in data["amounts"]]
    return [*deposits, ("withdrawn", {"cents": data["fee"]})]


def renamed(data: dict[str, Any]) -> dict[str, Any]:
    return {"owner": data["by"]}


UPCASTERS = (
    Upcaster("opened-by", to="opened", up=renamed),
    Upcaster("deposited", to="deposited@2", up=in_cents),
    Upcaster("deposited@2", to="deposited@3", up=in_euros),
    Split("moved", to=("deposited", "withdrawn"), up=taken_apart),
    Drop("pinged"),
)

TODAY = Application(deciders=[ACCOUNT], projections=[STATEMENTS], query_handlers=[get_statement], upcasters=UPCASTERS)


async def record(store: MemoryEventStore, *events: NewEvent, stream: str = "account-a", version: int = 0) -> None:
    """Fills a store that no bus has open, as an earlier release would, each event by a command `c1`, `c2`, ..."""
    async with store:
        for number, event in enumerate(events, version + 1):
            entry = Append(stream, number - 1, (event,), f"{stream} c{number}", b"")
            appended = await store.append([entry], NOON)
            assert not appended.refused
