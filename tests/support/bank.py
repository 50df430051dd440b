"""A small bank for tests: accounts, and commands whose decisions go wrong in every way there is."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, TypeAlias

from bus.core import Application, Command, Decider, Event, Rejected, State
from tests.support.personal import PLANTED


class Open(Command):
    account_id: str


class Deposit(Command):
    account_id: str
    amount: float


class Withdraw(Command):
    account_id: str
    amount: float


class Touch(Command):
    """Records nothing."""

    account_id: str


class Misbehave(Command):
    """Answered by a decision of the kind named."""

    account_id: str
    how: str
    note: Any = None


AccountCommand: TypeAlias = Open | Deposit | Withdraw | Touch | Misbehave


class Opened(Event, tag="opened"):
    """The account exists."""


class Deposited(Event, tag="deposited"):
    amount: float


class Withdrawn(Event, tag="withdrawn"):
    amount: float


class Spoiled(Event, tag="spoiled"):
    """An event that `evolve` cannot bear, in the way named."""

    how: str


class Noted(Event, tag="noted"):
    note: Any


class Foreign(Event, tag="foreign"):
    """No event of an account."""


AccountEvent: TypeAlias = Opened | Deposited | Withdrawn | Noted | Spoiled


class NotOpen(Rejected): ...


class AlreadyOpen(Rejected): ...


class Overdrawn(Rejected): ...


class Account(State):
    is_open: bool = False
    balance: float = 0


def decide(command: AccountCommand, account: Account) -> Sequence[AccountEvent]:
    match command:
        case Open():
            if account.is_open:
                raise AlreadyOpen("the account is open already", balance=account.balance)
            return [Opened()]
        case Deposit(_, amount):
            if not account.is_open:
                raise NotOpen
            return [Deposited(amount)]
        case Withdraw(_, amount):
            if amount > account.balance:
                raise Overdrawn("not enough money", balance=account.balance)
            return (Withdrawn(amount),)
        case Touch():
            return ()
        case Misbehave(_, how, note):
            events: Sequence[AccountEvent] = misbehave(how, note)
            return events


def misbehave(how: str, note: Any) -> Any:
    match how:
        case "raise":
            raise ZeroDivisionError(f"a bug in decide of {PLANTED}")
        case "cancelled":
            raise asyncio.CancelledError
        case "panic":
            raise GeneratorExit
        case "none":
            return None
        case "generator":
            return (event for event in [Opened()])
        case "empty generator":
            return iter(())
        case "endless":
            return (Opened() for _ in itertools.count())
        case "event":
            return Deposited(1)
        case "foreign":
            return [Foreign()]
        case "many":
            return [Opened()] * note
        case "note":
            return [Noted(note)]
        case "amounts":
            return [Deposited(amount) for amount in note]
        case _:
            return [Spoiled(how)]


def evolve(account: Account, event: AccountEvent) -> Account:
    match event:
        case Opened():
            return Account(True, account.balance)
        case Deposited(amount):
            return Account(True, account.balance + amount)
        case Withdrawn(amount):
            return Account(True, account.balance - amount)
        case Spoiled("evolve-none"):
            return None  # type: ignore[return-value]
        case Spoiled("evolve-raises"):
            raise ZeroDivisionError(f"a bug in evolve of {PLANTED}")
        case Noted() | Spoiled():
            return account


def identify(command: AccountCommand) -> str:
    return command.account_id


ACCOUNT = Decider(category="account", initial=Account(), identify=identify, decide=decide, evolve=evolve)

BANK = Application(deciders=[ACCOUNT])
