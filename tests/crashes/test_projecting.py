"""Processes killed or paused between any two steps of a projector: every event is once in its views, in order."""

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import anyio
import msgspec
import pytest

from adapters.postgres import PostgresEventStore
from adapters.sqlite import SqliteEventStore
from bus import Application, Bus
from tests.crashes import planted_steps, projecting
from tests.crashes.nursery import STOPPED, Nursery
from tests.crashes.projecting import DISCARDED, EARLIER, LATER, MENDED, POISON, Plan
from tests.crashes.steps import STEPS, Fate
from tests.crashes.stores import NewStores, Stores, in_schema, sqlite
from tests.crashes.view_audit import Seen, audit
from tests.support.ledger import Deposit

WRITE_SIDE = Application(deciders=MENDED.deciders)
TIMES = (1, 2, 4)
"""At which time that it comes to a step each process ends; the first batches are read from the store, the last live."""
TURNS = (0, 1, 2, 3, 5, 8, 20, 100, 500)
"""Of the event loop after a commit was begun."""
STATEMENTS_MAX = 40

EVENTS = [
    (command.account, command.amount if isinstance(command, Deposit) else 0)
    for command in (*EARLIER, *LATER)
    for _ in range(command.times if isinstance(command, Deposit) else 1)
]
"""Account and amount, by position."""
HEAD = len(EVENTS)
POISONED = {account: EVENTS.index((account, POISON)) + 1 for account in ("a1", "b1")}
"""Where each account is poisoned first."""
LETTERS = [
    (account, position)
    for position, (account, _) in enumerate(EVENTS, 1)
    if position >= POISONED.get(account, HEAD + 1)
]
"""What is left to who cannot project it."""
FOUND = "is not what its events make|^letters of|said to be"
"""The words of the audit."""
GIVEN_UP = frozenset({(DISCARDED, POISONED[DISCARDED])})


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with projecting.nursery() as opened:
        yield opened


class History:
    """One pair of stores through the lives of the processes that project there, looked at after each."""

    def __init__(self, nursery: Nursery, stores: Stores, folder: Path, *, bug: planted_steps.Bug | None = None) -> None:
        self._nursery = nursery
        self._stores = stores
        self._folder = folder
        _, events, _, views = (one.removeprefix("sqlite:///") for one in stores.arguments)
        self._plan = Plan(events, views, bug=None if bug is None else bug.__name__)
        self.lives = 0
        anyio.run(self._record)

    async def _record(self) -> None:
        events = self._plan.events
        store = PostgresEventStore(events) if events.startswith("postgresql:") else SqliteEventStore(events)
        async with Bus(WRITE_SIDE, event_store=store) as bus:
            for command in EARLIER:
                await bus.send(command)

    def live(self, *, is_mended: bool = False, fate: Fate | None = None, beside: bool = False) -> int:
        """One process from its beginning to its end; how it ended, and what it left is as it must be.

        With `beside`, another one is still there.
        """
        with self.begun(is_mended=is_mended, fate=fate) as life:
            ended = life.wait()
        assert ended in (0, -signal.SIGKILL), f"{ended}: {life.words()}"
        self.look(beside=beside)
        return ended

    def begun(self, *, is_mended: bool = False, fate: Fate | None = None) -> "Life":
        self.lives += 1
        plan = msgspec.structs.replace(self._plan, is_mended=is_mended, fate=fate)
        return Life(self._nursery, plan, self._folder / f"said-{self.lives}")

    def look(self, *, beside: bool = False) -> Seen:
        return anyio.run(self._look, beside)

    async def _look(self, beside: bool) -> Seen:
        if not beside:
            await self._stores.rest()
        return await audit(MENDED, self._stores.events(), self._stores.views())

    def settle(self, *, is_mended: bool, beside: bool = False) -> None:
        """A process that lives to its end leaves nothing undone."""
        assert self.live(is_mended=is_mended, beside=beside) == 0
        seen = self.look(beside=beside)
        assert set(seen.checkpoints.values()) == {seen.head} == {HEAD}
        assert not [one for one in seen.requests if one.answered_at is None]
        if is_mended:
            assert (seen.letters, seen.discarded) == ([], GIVEN_UP)
        else:
            assert [(one.key, one.position) for one in seen.letters] == LETTERS


class Life:
    """One process."""

    def __init__(self, nursery: Nursery, plan: Plan, said: Path) -> None:
        self._said = said
        with said.open("wb") as output, open("/dev/null", "rb") as nothing:
            self._process = nursery.start(
                [msgspec.json.encode(plan).decode()],
                folder=said.parent,
                stdin=nothing.fileno(),
                stdout=output.fileno(),
                stderr=output.fileno(),
            )

    def __enter__(self) -> "Life":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        return self._process.wait()

    def goes_on(self) -> None:
        self._process.goes_on()

    def words(self) -> str:
        return self._said.read_text()[-5_000:]


def killed_again_and_again(history: History, doing: str, step: str, times: Sequence[int]) -> int:
    """One process after the other meets that fate, then others live to their end; returns how many it was."""
    is_mended = doing != "projecting"
    if is_mended:
        history.settle(is_mended=False)
    count = 0
    for nth in times:
        # Until there is nothing left to be done.
        if not history.live(is_mended=is_mended, fate=Fate(doing, step, nth, signal.SIGKILL, "balances")):
            break
        count += 1
    if not is_mended:
        history.settle(is_mended=False)
    history.settle(is_mended=True)
    return count


@pytest.mark.parametrize(("doing", "step"), [(doing, step) for doing, steps in STEPS.items() for step in steps])
def test_wherever_processes_are_killed_each_event_is_once_in_its_views_and_no_letter_is_lost(
    nursery: Nursery, new_stores: NewStores, tmp_path: Path, doing: str, step: str
) -> None:
    folder = tmp_path / "history"
    folder.mkdir()
    history = History(nursery, new_stores(folder), folder)
    assert killed_again_and_again(history, doing, step, TURNS if step == "under way" else TIMES)


@pytest.mark.parametrize("doing", STEPS)
def test_wherever_processes_are_killed_in_a_transaction_nothing_of_it_is_left(
    nursery: Nursery, tmp_path: Path, doing: str
) -> None:
    history = History(nursery, sqlite(tmp_path), tmp_path)
    count = killed_again_and_again(history, doing, "statement", range(1, STATEMENTS_MAX))
    assert count > 3, "a transaction begins, writes and ends"


def paused_while_another_goes_on(history: History, step: str) -> None:
    with history.begun(fate=Fate("projecting", step, 2, signal.SIGSTOP, "balances")) as paused:
        assert paused.wait() == STOPPED
        history.settle(is_mended=False, beside=True)
        paused.goes_on()
        assert paused.wait() == 0, paused.words()
    history.settle(is_mended=False)
    history.settle(is_mended=True)


@pytest.mark.parametrize("step", STEPS["projecting"])
def test_a_process_paused_between_two_steps_finds_that_another_one_has_gone_on(
    nursery: Nursery, server_urls: list[str], tmp_path: Path, step: str
) -> None:
    stores = in_schema(server_urls[len(step) % len(server_urls)], f"paused_{uuid4().hex}")
    paused_while_another_goes_on(History(nursery, stores, tmp_path), step)


@pytest.mark.parametrize(
    ("bug", "doing", "step"),
    [
        (planted_steps.write_the_checkpoint_before_the_rows, "projecting", "committed"),
        (planted_steps.write_the_rows_before_the_checkpoint, "projecting", "committed"),
        (planted_steps.keep_letters_after_the_checkpoint, "projecting", "committed"),
        (planted_steps.remove_letters_before_their_view_is_written, "retrying", "committed"),
        (planted_steps.remove_letters_after_their_view_was_written, "retrying", "committed"),
        (planted_steps.answer_before_it_is_done, "retrying", "found"),
    ],
)
def test_a_bug_that_is_planted_between_two_steps_is_found(
    nursery: Nursery, tmp_path: Path, bug: planted_steps.Bug, doing: str, step: str
) -> None:
    history = History(nursery, sqlite(tmp_path), tmp_path, bug=bug)
    with pytest.raises(AssertionError, match=FOUND):
        killed_again_and_again(history, doing, step, [1] * HEAD)


def test_a_bug_that_lets_a_process_that_was_paused_commit_is_found(
    nursery: Nursery, server_urls: list[str], tmp_path: Path
) -> None:
    bug = planted_steps.commit_whatever_others_have_committed
    history = History(nursery, in_schema(server_urls[0], f"paused_{uuid4().hex}"), tmp_path, bug=bug)
    with pytest.raises(AssertionError, match=FOUND):
        paused_while_another_goes_on(history, "committing")
