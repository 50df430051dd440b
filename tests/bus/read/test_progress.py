"""Progress: waiters are woken by the commit they wait for, told of a stop at once, and leave nothing behind."""

import anyio
import pytest

from bus import STOP, ProjectionStopped, ProjectionTimeout
from bus.core.projection import Projection
from bus.read.progress import Progress, wait_for_all
from bus.runtime.reply import reply_factory
from tests.support.ledger import Balance, by_stream, project_balance


def progress(name: str = "balances") -> Progress:
    projection = Projection(name=name, version=1, view=Balance, project=project_balance, key=by_stream, on_poison=STOP)
    return Progress(projection, reply_factory())


def waiters(*several: Progress) -> int:
    return sum([len(one._waiters) for one in several])


async def test_a_waiter_is_woken_by_the_commit_of_its_position_and_not_before() -> None:
    one, order = progress(), list[str]()

    async def wait(position: int) -> None:
        await one.wait(position)
        order.append(f"{position} at {one.position}")

    async with anyio.create_task_group() as tasks:
        for position in (3, 1, 2, 0):
            tasks.start_soon(wait, position)
        await anyio.wait_all_tasks_blocked()
        assert order == ["0 at 0"]
        one.advance(2, frozenset())
        await anyio.wait_all_tasks_blocked()
        assert sorted(order[1:]) == ["1 at 2", "2 at 2"]
        assert waiters(one) == 1
        one.advance(9, frozenset())
    assert order[3:] == ["3 at 9"]
    assert waiters(one) == 0


async def test_who_waits_for_several_is_told_at_once_of_the_one_that_stops() -> None:
    slow, broken = progress("slow"), progress("broken")

    async def stop() -> None:
        await anyio.wait_all_tasks_blocked()
        broken.advance(3, frozenset())
        await anyio.wait_all_tasks_blocked()
        broken.stop(4, "a bug")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        with pytest.raises(ProjectionStopped) as caught:
            await wait_for_all([slow, broken], 5)
    error = caught.value
    assert (error.projection, error.position, error.reason) == ("broken", 5, "a bug")
    assert "stopped at position 4: a bug" in str(error)
    assert waiters(slow, broken) == 0


async def test_what_was_committed_before_the_stop_can_still_be_waited_for() -> None:
    one = progress()
    one.advance(3, frozenset())
    one.stop(4, "a bug")
    await one.wait(3)
    with pytest.raises(ProjectionStopped):
        await one.wait(4)


async def test_at_the_deadline_the_one_that_is_late_is_named_with_its_position() -> None:
    quick, slow = progress("quick"), progress("slow")
    quick.advance(5, frozenset())
    slow.advance(2, frozenset())
    deadline = anyio.current_time() + 3
    with pytest.raises(ProjectionTimeout) as caught:
        await wait_for_all([quick, slow], 5, deadline)
    assert anyio.current_time() == pytest.approx(deadline)
    assert (caught.value.projection, caught.value.position, caught.value.at) == ("slow", 5, 2)
    assert waiters(quick, slow) == 0


async def test_a_cancelled_waiter_leaves_nothing_behind_and_the_others_are_still_woken() -> None:
    one, other, done = progress("one"), progress("other"), list[str]()

    async def wait(name: str) -> None:
        await wait_for_all([one, other], 1)
        done.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, "stays")
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as doomed:
                doomed.start_soon(wait, "is cancelled")
                await anyio.wait_all_tasks_blocked()
                assert waiters(one, other) == 4
                scope.cancel()
        assert waiters(one, other) == 2
        one.advance(1, frozenset())
        other.advance(1, frozenset())
    assert done == ["stays"]
    assert waiters(one, other) == 0


async def test_a_waiter_cancelled_in_the_very_moment_of_the_commit_disturbs_nobody() -> None:
    one = progress()

    async def wait() -> None:
        await one.wait(1)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        one.advance(1, frozenset())
        one.advance(2, frozenset())
    assert waiters(one) == 0


async def test_listeners_hear_of_changes_and_of_the_stop_but_not_of_commits_without_changes() -> None:
    one, heard = progress(), list[tuple[str, frozenset[str] | None]]()

    def listener(name: str, keys: frozenset[str] | None) -> None:
        heard.append((name, keys))

    one.listen(listener)
    one.advance(1, frozenset())
    one.begin(frozenset({"a"}))
    one.advance(2, frozenset({"a"}))
    one.stop(3, "a bug")
    one.unlisten(listener)
    one.advance(4, frozenset({"b"}))
    assert heard == [("balances", frozenset({"a"})), ("balances", None)]


async def test_who_asks_for_what_answers_hears_of_the_one_that_is_shown() -> None:
    public, old, new = progress(), progress(), progress()
    old.show(public)
    heard: list[frozenset[str] | None] = []
    public.listen(lambda _, keys: heard.append(keys))
    old.begin(frozenset({"a"}))
    old.advance(4, frozenset({"a"}))
    new.advance(5, frozenset())
    assert (public.position, heard) == (4, [frozenset({"a"})])
    old.public = None
    new.show(public)
    # What was read before may have come from other views.
    assert (public.position, heard[1:]) == (5, [None])
    old.begin(frozenset({"a"}))
    old.advance(9, frozenset({"a"}))
    old.stop(10, "a bug")
    assert (public.position, public.stopped) == (5, None)
    new.follow(7)
    assert public.position == 7
    new.stop(8, "another bug")
    assert (public.stopped, public.stopped_at) == ("another bug", 8)


async def test_who_waits_is_woken_when_what_has_come_so_far_begins_to_be_shown() -> None:
    public, stopped, new = progress(), progress(), progress()
    new.advance(7, frozenset())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(public.wait, 6)
        await anyio.wait_all_tasks_blocked()
        new.show(public)
    stopped.stop(3, "a bug")
    outcomes: list[str] = []

    async def wait() -> None:
        try:
            await public.wait(8)
        except ProjectionStopped as error:
            outcomes.append(error.reason)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        stopped.show(public)
    assert outcomes == ["a bug"]
    assert waiters(public, stopped, new) == 0


async def test_who_doubts_hears_of_a_change_before_it_is_committed_and_who_listens_afterwards() -> None:
    one, heard = progress(), list[tuple[str, frozenset[str] | None]]()
    one.doubt(lambda _, keys: heard.append(("begun", keys)))
    one.listen(lambda _, keys: heard.append(("known", keys)))
    one.begin(frozenset())
    one.begin(frozenset("a"))
    assert one.begun == frozenset("a")
    one.advance(1, frozenset("a"))
    assert one.begun == frozenset()
    assert heard == [("begun", frozenset("a")), ("known", frozenset("a"))]


async def test_what_a_commit_in_doubt_may_have_changed_is_told_with_the_next_one() -> None:
    one, heard = progress(), list[frozenset[str] | None]()
    one.listen(lambda _, keys: heard.append(keys))
    one.begin(frozenset("a"))
    one.begin(frozenset("b"))
    one.advance(1, frozenset("b"))
    one.begin(None)
    one.advance(2, frozenset("c"))
    assert heard == [frozenset("ab"), None]


@pytest.mark.parametrize("changed", [frozenset("ab"), None])
async def test_a_change_of_which_nothing_was_said_before_is_a_bug(changed: frozenset[str] | None) -> None:
    one = progress()
    one.begin(frozenset("a"))
    with pytest.raises(AssertionError, match="who changes views says so before"):
        one.advance(1, changed)


async def test_who_writes_to_the_views_of_a_projection_that_stopped_is_not_known() -> None:
    one = progress()
    one.stop(1, "a bug")
    assert one.begun is None
    one.follow(5)
    assert one.begun == frozenset()
