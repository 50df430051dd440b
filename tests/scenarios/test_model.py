"""The whole bus in memory against a model: whatever happens in whatever order, the store tells one consistent story."""

import random
from collections import Counter
from typing import Any

import anyio
import pytest

from bus import (
    Bus,
    BusClosed,
    BusError,
    CommandFailed,
    CommandIdReused,
    ConflictExhausted,
    DeadlineExceeded,
    Limits,
    OutcomeUnknown,
    Overloaded,
    Receipt,
    Rejected,
    StoreUnavailable,
    VersionConflict,
)
from tests.support.bank import (
    ACCOUNT,
    BANK,
    Account,
    AccountCommand,
    Deposit,
    Misbehave,
    Open,
    Touch,
    Withdraw,
    decide,
    evolve,
)
from tests.support.sending import recorded
from tests.support.stores import FakeEventStore, Record, lost_after, lost_before, normal, unavailable

ACCOUNTS = "abcd"
EXPECTED = (
    Rejected,
    BusClosed,
    CommandFailed,
    CommandIdReused,
    ConflictExhausted,
    DeadlineExceeded,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
    VersionConflict,
)


class Story:
    """Senders that do what chance tells them, and what they were answered."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.store = FakeEventStore(shared=self.chance.random() < 0.5)
        self.limits = Limits(
            batch_commands_max=self.chance.choice([1, 2, 5, 100]),
            batch_bytes_max=self.chance.choice([1, 50, 10_000]),
            residents_max=self.chance.choice([1, 2, 100]),
            idle_timeout_s=self.chance.choice([0.01, 0.5, 100]),
            recover_events_max=self.chance.choice([1, 3, 1_000]),
            recover_streams_max=self.chance.choice([1, 2, 1_000]),
            mailbox_commands_max=self.chance.choice([1, 3, 100]),
            bus_commands_max=self.chance.choice([5, 100]),
            append_attempts_max=self.chance.choice([1, 2, 5]),
            conflict_attempts_max=self.chance.choice([2, 8]),
            restart_backoff_s=0.01,
            restart_backoff_max_s=0.1,
            send_timeout_s=self.chance.choice([0.2, 30]),
        )
        self.commands: dict[str, list[AccountCommand]] = {}
        """What was sent under each id; more than one is somebody's mistake."""
        self.outcomes: list[tuple[str, int | None, Receipt | BusError]] = []
        self.foreign = 0

    async def fate(self, record: Record) -> Any:
        """What becomes of one append."""
        pick = self.chance.random()
        await anyio.sleep(self.chance.choice([0, 0, 0.01, 0.3]))
        if pick < 0.1 and self.store.shared:
            self.foreign += 1
            await self.store.foreign(f"account-{self.chance.choice(ACCOUNTS)}", ("opened", b"{}"))
        if pick < 0.6:
            return await normal(record)
        return await self.chance.choice([normal, unavailable, lost_before, lost_after])(record)

    def command(self) -> AccountCommand:
        account = self.chance.choice(ACCOUNTS)
        amount = float(self.chance.randrange(1, 5))
        commands: list[AccountCommand] = [
            Open(account),
            Deposit(account, amount),
            Deposit(account, amount),
            Withdraw(account, amount),
            Touch(account),
            Misbehave(account, self.chance.choice(["raise", "none", "evolve-raises", "evolve-none", "foreign"])),
            Misbehave(account, "amounts", [amount] * self.chance.randrange(3)),
        ]
        return self.chance.choice(commands)

    async def send(self, bus: Bus) -> None:
        for _ in range(self.chance.randrange(3, 15)):
            if self.commands and self.chance.random() < 0.3:
                command_id = self.chance.choice(list(self.commands))
                command = self.commands[command_id][0] if self.chance.random() < 0.8 else self.command()
            else:
                command_id, command = f"id-{len(self.commands)}", self.command()
            sent = self.commands.setdefault(command_id, [])
            if command not in sent:
                sent.append(command)
            expected = self.chance.randrange(5) if self.chance.random() < 0.1 else None
            await self.attempt(bus, command_id, command, expected)
            await anyio.sleep(self.chance.choice([0, 0, 0.02, 0.6]))

    async def attempt(self, bus: Bus, command_id: str, command: AccountCommand, expected: int | None) -> None:
        patience = self.chance.choice([0.005, 0.2, 100, 100])
        outcome: Receipt | BusError
        with anyio.move_on_after(patience):
            try:
                outcome = await bus.send(command, command_id=command_id, expected_version=expected)
            except BusError as error:
                outcome = error
            self.outcomes.append((command_id, expected, outcome))

    async def live(self) -> None:
        """Several openings of the bus, some of which end while senders are at work."""
        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                async with Bus(BANK, event_store=self.store, limits=self.limits) as bus:
                    self.store.script.extend([self.fate] * 1_000)
                    for _ in range(6):
                        tasks.start_soon(self.send, bus)
                    await anyio.sleep(self.chance.choice([0.1, 5]))
                    if self.chance.random() < 0.7:
                        await bus.wait_settled(timeout=1_000)
                    assert bus.statistics().restarts == 0
                assert bus.report is not None
                assert bus.report.is_clean
            self.store.script.clear()


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_happens_the_store_tells_one_consistent_story(seed: int) -> None:
    story = Story(seed)
    await story.live()
    async with Bus(BANK, event_store=story.store) as bus:
        events = await recorded(bus)
        states = {account: (await bus.load(ACCOUNT, account)).state for account in ACCOUNTS}
        # Whoever asks again with the same id learns what happened, once and for all.
        for command_id in {one.command_id for one in events} & set(story.commands):
            commands = story.commands[command_id]
            again = [(await bus.send_many([command], command_ids=[command_id]))[0] for command in commands]
            assert [isinstance(one, Receipt) and one.duplicate for one in again].count(True) == 1
            assert [type(one) for one in again].count(CommandIdReused) == len(commands) - 1
        assert await recorded(bus) == events
    check_places(events)
    check_decisions(story, events, states)
    check_outcomes(story, events)


def check_places(events: list[Any]) -> None:
    """Versions and positions have no gap and no double; a command's events stand together."""
    assert [one.position for one in events] == list(range(1, len(events) + 1))
    versions: Counter[str] = Counter()
    last_of: dict[str, int] = {}
    for one in events:
        versions[one.stream] += 1
        assert one.version == versions[one.stream]
        assert last_of.get(one.command_id, one.position - 1) == one.position - 1, "recorded twice, or torn apart"
        last_of[one.command_id] = one.position


def check_decisions(story: Story, events: list[Any], states: dict[str, Account]) -> None:
    """Each stream is what the pure functions make of its commands in the order recorded."""
    folded = dict.fromkeys(ACCOUNTS, Account())
    place = 0
    while place < len(events):
        first = events[place]
        together = [one for one in events[place:] if one.command_id == first.command_id]
        place += len(together)
        account = first.stream_id
        if not first.command_id.startswith("foreign"):
            assert any(
                sent.account_id == account and _decided(sent, folded[account]) == [one.event for one in together]
                for sent in story.commands[first.command_id]
            )
        for one in together:
            folded[account] = evolve(folded[account], one.event)
    assert folded == states


def _decided(command: AccountCommand, account: Account) -> list[Any]:
    try:
        return list(decide(command, account) or ())
    except Exception:
        return []


def check_outcomes(story: Story, events: list[Any]) -> None:
    """Nothing acknowledged is missing, nothing denied is there, and nobody was answered out of the blue."""
    by_command: dict[str, list[Any]] = {}
    for one in events:
        by_command.setdefault(one.command_id, []).append(one)
    fresh: Counter[str] = Counter()
    for command_id, expected, outcome in story.outcomes:
        assert isinstance(outcome, (Receipt, *EXPECTED)), repr(outcome)
        mine = by_command.get(command_id, [])
        if isinstance(outcome, Receipt) and outcome.events:
            last = mine[-1]
            assert (outcome.position, outcome.version, outcome.stream) == (last.position, last.version, last.stream)
            assert list(outcome.events) == [one.event for one in mine]
            fresh[command_id] += not outcome.duplicate
            if expected is not None and not outcome.duplicate:
                assert outcome.version - len(outcome.events) == expected
        if isinstance(outcome, CommandIdReused):
            assert len(story.commands[command_id]) > 1
    assert all(count <= 1 for count in fresh.values()), "two senders were told that theirs was the first"
