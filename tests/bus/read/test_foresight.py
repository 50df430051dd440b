"""Foresight: what is folded ahead is what would be folded in its turn, and is taken only where it has come true."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import anyio
import pytest

from bus.core.stored import ViewChanges, ViewTable
from bus.memory import MemoryViewStore
from bus.read.folding import Poisoned
from bus.read.parking import Failure
from bus.read.writing import ViewAttempt, ViewWriting
from tests.bus.read.test_writing import NOON, START, deposits, writing_of

FIRST = deposits((1, "a"), (2, "b"))
SECOND = deposits((3, "a"), (4, "c"))
THIRD = deposits((5, "a"), (6, "b"), (7, "c"))
FOURTH = deposits((8, "a"), (9, "d"))

Load = Callable[[ViewTable, Sequence[str]], Awaitable[Mapping[str, bytes]]]


def loads_of(writing: ViewWriting, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The keys of every load from now on."""
    assert isinstance(writing.view_store, MemoryViewStore)
    asked: list[list[str]] = []
    load: Load = writing.view_store.load

    async def noted(table: ViewTable, keys: Sequence[str]) -> Mapping[str, bytes]:
        asked.append(list(keys))
        return await load(table, keys)

    monkeypatch.setattr(writing.foresight, "_load", lambda keys: noted(writing.table, keys))
    monkeypatch.setattr(writing.view_store, "load", noted)
    return asked


async def committed(attempt: ViewAttempt) -> None:
    assert await attempt.commit()
    attempt.done()


async def in_turn(count: int) -> list[ViewChanges]:
    """The changes of the batches without foresight."""
    changes: list[ViewChanges] = []
    async with writing_of() as (writing, _):
        checkpoint = START
        for batch in (FIRST, SECOND, THIRD, FOURTH)[:count]:
            attempt = await writing.attempt(batch, checkpoint, 0)
            await committed(attempt)
            changes.append(attempt.changes)
            checkpoint = batch.last
    return changes


async def test_what_is_foreseen_is_what_would_be_folded_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async with writing_of() as (writing, _):
        asked = loads_of(writing, monkeypatch)
        changes: list[ViewChanges] = []
        checkpoint, batches = START, (FIRST, SECOND, THIRD, FOURTH)
        for place, batch in enumerate(batches):
            attempt = await writing.attempt(batch, checkpoint, 0)
            for later in batches[place + 1 : place + 3]:
                await attempt.foresee(later)
            await committed(attempt)
            changes.append(attempt.changes)
            checkpoint = batch.last
        assert asked == [["a", "b"], ["c"], ["d"]], "each view is read once, and none that a batch before leaves"
    assert changes == await in_turn(4)


async def test_two_batches_are_foreseen_and_no_more() -> None:
    async with writing_of() as (writing, _):
        first = await writing.attempt(FIRST, START, 0)
        assert await first.foresee(SECOND)
        assert not await first.foresee(THIRD)
        assert not await first.foresee(FOURTH)
        await committed(first)
        second = await writing.attempt(SECOND, FIRST.last, 0)
        assert await second.foresee(THIRD), "it is known already, and there is room again"
        assert not await second.foresee(FOURTH)


async def test_nothing_that_was_foreseen_is_taken_unless_the_batch_before_it_was_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with writing_of() as (writing, _):
        first = await writing.attempt(FIRST, START, 0)
        await first.foresee(SECOND)
        asked = loads_of(writing, monkeypatch)
        second = await writing.attempt(SECOND, START, 0)
        assert asked == [["c"]], "folded anew, from what is remembered"
        assert b"[3]" in second.changes.put[0].payload, "as if the first had never been"


async def test_nothing_that_was_foreseen_outlives_what_was_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    async with writing_of() as (writing, _):
        first = await writing.attempt(FIRST, START, 0)
        await first.foresee(SECOND)
        await committed(first)
        writing.forget_views()
        asked = loads_of(writing, monkeypatch)
        second = await writing.attempt(SECOND, FIRST.last, 0)
        assert asked == [["a", "c"]]
        assert second.changes == (await in_turn(2))[1]


async def test_a_batch_is_folded_anew_where_something_else_was_committed_in_between() -> None:
    async with writing_of() as (writing, _):
        first = await writing.attempt(FIRST, START, 0)
        await first.foresee(SECOND)
        await committed(first)
        between = deposits((2, "a"))
        await committed(await writing.attempt(between, FIRST.last, 0))
        await first.foresee(SECOND)
        second = await writing.attempt(SECOND, between.last, 0)
        assert b"[1,2,3]" in second.changes.put[0].payload


async def test_the_same_events_in_another_batch_are_not_what_was_foreseen(monkeypatch: pytest.MonkeyPatch) -> None:
    async with writing_of() as (writing, _):
        first = await writing.attempt(FIRST, START, 0)
        await first.foresee(SECOND)
        await committed(first)
        asked = loads_of(writing, monkeypatch)
        again = await writing.attempt(deposits((3, "a"), (4, "c")), FIRST.last, 0)
        assert asked == [["c"]]
        assert again.changes == (await in_turn(2))[1]


async def test_whatever_goes_wrong_ahead_is_left_to_the_attempt_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: Sequence[str]) -> Mapping[str, bytes]:
        raise OSError("down")

    async with writing_of() as (writing, _):
        first = await writing.attempt(FIRST, START, 0)
        with monkeypatch.context() as patch:
            patch.setattr(writing.foresight, "_load", broken)
            await first.foresee(SECOND)
        assert not await first.foresee(THIRD), "nothing can be built upon it"
        await committed(first)
        assert (await writing.attempt(SECOND, FIRST.last, 0)).changes == (await in_turn(2))[1]


async def test_an_attempt_waits_for_a_look_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = anyio.Event()

    async def slow(_: Sequence[str]) -> Mapping[str, bytes]:
        await go_on.wait()
        return {}

    async with writing_of() as (writing, _), anyio.create_task_group() as tasks:
        first = await writing.attempt(FIRST, START, 0)
        monkeypatch.setattr(writing.foresight, "_load", slow)
        tasks.start_soon(first.foresee, SECOND)
        await anyio.wait_all_tasks_blocked()
        await committed(first)
        made: list[ViewAttempt] = []

        async def attempt() -> None:
            made.append(await writing.attempt(SECOND, FIRST.last, 0))

        tasks.start_soon(attempt)
        await anyio.wait_all_tasks_blocked()
        assert not made
        go_on.set()
        await anyio.wait_all_tasks_blocked()
        assert [one.changes for one in made] == [(await in_turn(2))[1]]


PARKED = Failure(3, "it fails", 1, NOON, NOON)


async def test_what_was_foreseen_of_a_key_that_is_to_wait_is_not_taken() -> None:
    async with writing_of() as (writing, _):
        first = await writing.attempt(FIRST, START, 0)
        await first.foresee(SECOND)
        await committed(first)
        assert writing.park(Poisoned(3, ValueError("it fails"), "a"), PARKED) is None
        second = await writing.attempt(SECOND, FIRST.last, 0)
        assert [letter.key for letter in second.changes.parked] == ["a"]
        assert [view.key for view in second.changes.put] == ["c"]


async def test_nothing_is_foreseen_while_a_key_waits() -> None:
    async with writing_of() as (writing, _):
        assert writing.park(Poisoned(3, ValueError("it fails"), "a"), PARKED) is None
        first = await writing.attempt(FIRST, START, 0)
        assert not await first.foresee(SECOND)
        await committed(first)
        second = await writing.attempt(SECOND, FIRST.last, 0)
        assert [letter.key for letter in second.changes.parked] == ["a"]
        await committed(second)
        assert not await second.foresee(THIRD)
        third = await writing.attempt(THIRD, SECOND.last, 0)
        assert [letter.key for letter in third.changes.parked] == ["a"], "it waits behind the first"
