"""Ledger: a small application for tests of the read side; a view remembers each event that made it."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from bus import (
    REMOVED,
    STOP,
    Application,
    Bus,
    Command,
    Decider,
    Event,
    MemoryEventStore,
    Projection,
    Query,
    Recorded,
    Removed,
    State,
    View,
    Views,
)
from bus.core.projection import Poison


class Deposit(Command):
    account: str
    amount: int = 1
    times: int = 1
    """How many events; none for a command that records nothing."""


class Close(Command):
    account: str


class WriteNote(Command):
    note: str


class Deposited(Event, tag="deposited"):
    amount: int


class Closed(Event, tag="closed"): ...


class NoteWritten(Event, tag="note-written"): ...


class Account(State):
    balance: int = 0


class Note(State): ...


AccountEvent: TypeAlias = Deposited | Closed


def decide(command: Deposit | Close, account: Account) -> Sequence[AccountEvent]:
    return [Deposited(command.amount)] * command.times if isinstance(command, Deposit) else [Closed()]


def evolve(account: Account, event: AccountEvent) -> Account:
    return Account(account.balance + event.amount) if isinstance(event, Deposited) else Account()


def decide_note(command: WriteNote, note: Note) -> Sequence[NoteWritten]:
    return [NoteWritten()]


def evolve_note(note: Note, event: NoteWritten) -> Note:
    return note


ACCOUNT = Decider(
    category="account", initial=Account(), identify=lambda command: command.account, decide=decide, evolve=evolve
)
NOTE = Decider(
    category="note", initial=Note(), identify=lambda command: command.note, decide=decide_note, evolve=evolve_note
)


class Balance(View):
    account: str
    balance: int
    positions: list[int]
    """Of all the events that touched it, in the order in which they came."""


class Journal(View):
    entries: list[tuple[int, str, int]]
    """Position, stream and version of every event, in the order in which they came."""


class NoteSeen(View):
    positions: list[int]


def project_balance(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
    if isinstance(recorded.event, Closed):
        return REMOVED
    before = view or Balance(key, 0, [])
    return Balance(key, before.balance + recorded.event.amount, [*before.positions, recorded.position])


def project_journal(view: Journal | None, recorded: Recorded[AccountEvent | NoteWritten], key: str) -> Journal:
    before = view.entries if view is not None else []
    return Journal([*before, (recorded.position, recorded.stream, recorded.version)])


def project_note(view: NoteSeen | None, recorded: Recorded[NoteWritten], key: str) -> NoteSeen:
    return NoteSeen([*(view.positions if view is not None else []), recorded.position])


def by_stream(recorded: Recorded[AccountEvent]) -> str:
    return recorded.stream_id


ProjectBalance: TypeAlias = Callable[[Balance | None, Recorded[AccountEvent], str], Balance | Removed]


def balances(
    project: ProjectBalance = project_balance,
    key: Callable[[Recorded[AccountEvent]], str | tuple[str, ...]] = by_stream,
    version: int = 1,
    on_poison: Poison = STOP,
) -> Projection[Balance, AccountEvent]:
    """The projection of balances, if asked with another function."""
    return Projection(
        name="balances",
        version=version,
        view=Balance,
        project=project,
        key=key,
        indexes=("balance", "account"),
        on_poison=on_poison,
    )


BALANCES = balances()
JOURNAL = Projection(
    name="journal", version=1, view=Journal, project=project_journal, key=lambda recorded: "all", on_poison=STOP
)
NOTES = Projection(
    name="notes", version=1, view=NoteSeen, project=project_note, key=lambda recorded: "all", on_poison=STOP
)


class GetBalance(Query[Balance | None]):
    account: str


class GetBalances(Query[list[Balance]]): ...


class GetJournal(Query[Journal | None]): ...


async def get_balance(query: GetBalance, views: Views) -> Balance | None:
    return await views.get(Balance, query.account)


async def get_balances(query: GetBalances, views: Views) -> list[Balance]:
    return await views.find(Balance, order_by="-balance")


async def get_journal(query: GetJournal, views: Views) -> Journal | None:
    return await views.get(Journal, "all")


HANDLERS = (get_balance, get_balances, get_journal)

LEDGER = Application(deciders=[ACCOUNT, NOTE], projections=[BALANCES, JOURNAL, NOTES], query_handlers=HANDLERS)


def ledger(projection: Projection[Balance, AccountEvent]) -> Application:
    """The ledger with another projection of balances; the journal goes on beside it."""
    return Application(deciders=[ACCOUNT, NOTE], projections=[projection, JOURNAL], query_handlers=HANDLERS)


async def record(store: MemoryEventStore, *commands: Command) -> None:
    """Fills a store before a bus with projections sees it."""
    async with Bus(Application(deciders=[ACCOUNT, NOTE]), event_store=store) as bus:
        for command in commands:
            await bus.send(command)


async def stored_entries(store: MemoryEventStore) -> list[tuple[int, str, int]]:
    """The journal as the store has it."""
    return [(event.position, event.stream, event.version) for event in await store.page(0, 1_000_000)]
