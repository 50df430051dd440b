"""The soak's load: an application of two aggregates and three projections, and users who do everything at once."""

import random
from collections import Counter
from collections.abc import Awaitable, Sequence
from contextlib import aclosing
from typing import TypeAlias, TypeVar, assert_never

import anyio

from bench.limits import ACCOUNT, AccountCommand, AccountEvent, Deposit, OpenAccount, Withdraw
from bus import Bus, BusError, Receipt
from bus.core import (
    STOP,
    Application,
    Command,
    Decider,
    Event,
    Projection,
    Query,
    Recorded,
    Rejected,
    State,
    View,
    Views,
)

T = TypeVar("T")

HOT_ACCOUNTS = 8
HOT_COMMANDS = 2_000
"""After so many commands other accounts become the hot ones: streams are to stay short, since they are replayed."""
COLD_ACCOUNTS = 20_000
PARCELS = 2_000
DEPOTS = 20
BULK_COMMANDS = 30

# ---------------------------------------------------------------- a second aggregate: parcels on their way


class SendParcel(Command):
    parcel: str
    depot: int


class MoveParcel(Command):
    parcel: str
    depot: int


ParcelCommand: TypeAlias = SendParcel | MoveParcel


class ParcelSent(Event, tag="parcel-sent"):
    depot: int


class ParcelMoved(Event, tag="parcel-moved"):
    depot: int


ParcelEvent: TypeAlias = ParcelSent | ParcelMoved


class NotSent(Rejected): ...


class Parcel(State):
    depot: int | None = None


def decide(command: ParcelCommand, parcel: Parcel) -> Sequence[ParcelEvent]:
    match command:
        case SendParcel(_, depot):
            return [ParcelSent(depot)] if parcel.depot is None else []
        case MoveParcel(_, depot):
            if parcel.depot is None:
                raise NotSent("no such parcel is on its way", parcel=command.parcel)
            return [ParcelMoved(depot)]
        case _:
            assert_never(command)


def evolve(parcel: Parcel, event: ParcelEvent) -> Parcel:
    return Parcel(event.depot)


PARCEL = Decider(
    category="parcel", initial=Parcel(), identify=lambda command: command.parcel, decide=decide, evolve=evolve
)

# ---------------------------------------------------------------- views


class Balance(View):
    account: str
    balance: int


class Traffic(View):
    """Every event is counted here, by category, so that none is missed or doubled unseen."""

    category: str
    events: int


class Depot(View):
    depot: str
    events: int


def project_balance(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance:
    return Balance(key, getattr(recorded.event, "balance", 0))


def project_traffic(view: Traffic | None, recorded: Recorded[AccountEvent | ParcelEvent], key: str) -> Traffic:
    return Traffic(key, (view.events if view else 0) + 1)


class Fault:
    """What makes the projection of depots fail while it is on."""

    is_on = False

    def project(self, view: Depot | None, recorded: Recorded[ParcelEvent], key: str) -> Depot:
        if self.is_on:
            raise ValueError("a bug in a projection, to be mended soon")
        return Depot(key, (view.events if view else 0) + 1)


class GetRichest(Query[list[Balance]]):
    limit: int = 20


class GetTraffic(Query[list[Traffic]]): ...


class GetDepots(Query[list[Depot]]): ...


async def get_richest(query: GetRichest, views: Views) -> list[Balance]:
    return await views.find(Balance, order_by="-balance", limit=query.limit)


async def get_traffic(query: GetTraffic, views: Views) -> list[Traffic]:
    return await views.find(Traffic)


async def get_depots(query: GetDepots, views: Views) -> list[Depot]:
    return await views.find(Depot)


BALANCES = Projection(
    name="balances",
    version=1,
    view=Balance,
    project=project_balance,
    key=lambda recorded: recorded.stream_id,
    indexes=("balance",),
    on_poison=STOP,
)
TRAFFIC = Projection(
    name="traffic",
    version=1,
    view=Traffic,
    project=project_traffic,
    key=lambda recorded: recorded.stream.partition("-")[0],
    on_poison=STOP,
)


def application(fault: Fault) -> Application:
    """The application, one of whose projections fails on demand."""
    depots = Projection(
        name="depots",
        version=1,
        view=Depot,
        project=fault.project,
        key=lambda recorded: str(recorded.event.depot),
        on_poison=STOP,
    )
    return Application(
        deciders=[ACCOUNT, PARCEL],
        projections=[BALANCES, TRAFFIC, depots],
        query_handlers=[get_richest, get_traffic, get_depots],
    )


# ---------------------------------------------------------------- users


class User:
    """One of many who use the bus at the same time; what each does next is drawn by chance."""

    def __init__(self, bus: Bus, chance: random.Random, outcomes: Counter[str]) -> None:
        self._bus = bus
        self._chance = chance
        self._outcomes = outcomes
        """By the code of the error; `receipt` and `answer` where there was none."""

    async def live(self, steps: int, pause_s: float) -> None:
        """Does some things, one after the other."""
        doings = (
            [self._hot] * 6
            + [self._cold] * 6
            + [self._parcel] * 6
            + [self._again, self._gives_up, self._bulk, self._expects, self._asks, self._watches]
        )
        for _ in range(steps):
            await self._chance.choice(doings)()
            await anyio.sleep(pause_s * self._chance.random() * 2)

    def _hot_account(self) -> str:
        generation = self._outcomes["receipt"] // HOT_COMMANDS
        return f"hot-{self._chance.randrange(HOT_ACCOUNTS)}-{generation}"

    async def _hot(self) -> None:
        await self._deposit(self._hot_account())

    async def _cold(self) -> None:
        account = f"{self._chance.randrange(COLD_ACCOUNTS):05}"
        if self._chance.random() < 0.2:
            await self._send(Withdraw(account, 10**9))
        else:
            await self._deposit(account)

    async def _deposit(self, account: str) -> None:
        if await self._send(Deposit(account, self._chance.randrange(1, 100))) is None:
            await self._send(OpenAccount(account, "somebody"))

    async def _parcel(self) -> None:
        command = self._parcel_command()
        if await self._send(command) is None:
            await self._send(SendParcel(command.parcel, command.depot))

    def _parcel_command(self) -> MoveParcel:
        # A parcel that has moved for long is replaced by another, whose stream is new.
        generation = self._outcomes["receipt"] // (50 * PARCELS)
        return MoveParcel(f"{generation}-{self._chance.randrange(PARCELS)}", self._chance.randrange(DEPOTS))

    async def _again(self) -> None:
        """The same command under one id: twice at once, and once more."""
        command_id = f"again-{self._chance.getrandbits(64):x}"
        command = SendParcel(f"again-{self._chance.randrange(PARCELS)}", 0)
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(self._send, command, command_id)
        await self._send(command, command_id)

    async def _gives_up(self) -> None:
        with anyio.move_on_after(self._chance.random() * 0.003):
            await self._deposit(self._hot_account())

    async def _bulk(self) -> None:
        commands = [self._parcel_command() for _ in range(BULK_COMMANDS)]
        for outcome in await self._bus.send_many(commands):
            self._outcomes["receipt" if isinstance(outcome, Receipt) else outcome.code] += 1

    async def _expects(self) -> None:
        await self._told(self._bus.send(OpenAccount(self._hot_account(), "x"), expected_version=10**6), "receipt")

    async def _asks(self) -> None:
        """Its own writes, by a query that waits for them, and the views as they are."""
        receipt = await self._send(SendParcel(f"asks-{self._chance.randrange(PARCELS)}", 1))
        await self._told(self._bus.query(GetDepots(), after=receipt), "answer")
        await self._told(self._bus.query(GetRichest()), "answer")

    async def _watches(self) -> None:
        with anyio.move_on_after(self._chance.random()):
            async with aclosing(self._bus.watch(GetTraffic())) as answers:
                async for _ in answers:
                    self._outcomes["answer"] += 1

    async def _send(self, command: AccountCommand | ParcelCommand, command_id: str | None = None) -> Receipt | None:
        return await self._told(self._bus.send(command, command_id=command_id), "receipt")

    async def _told(self, asked: Awaitable[T], success: str) -> T | None:
        try:
            answer = await asked
        except BusError as error:
            self._outcomes[error.code] += 1
            return None
        self._outcomes[success] += 1
        return answer
