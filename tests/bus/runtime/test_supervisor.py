"""The supervisor: a crash is logged, told and recovered from, and reaches nobody else."""

import contextvars

import anyio
import pytest

from bus import Limits
from bus.runtime.supervisor import Supervisor, backoff_s
from tests.support.telemetry import RecordingTelemetry

LIMITS = Limits(restart_backoff_s=1, restart_backoff_max_s=5)


def test_pauses_double_up_to_the_longest() -> None:
    assert [backoff_s(1, 5, attempt) for attempt in (1, 2, 3, 4, 5)] == [1, 2, 4, 5, 5]
    assert backoff_s(0.05, 2.0, 10_000) == 2.0


async def test_a_task_that_crashes_is_started_again_after_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    times: list[float] = []
    telemetry = RecordingTelemetry()

    async def crash() -> None:
        times.append(anyio.current_time())
        if len(times) < 6:
            raise ZeroDivisionError("a bug")

    async with anyio.create_task_group() as tasks:
        supervisor = Supervisor(tasks, LIMITS, telemetry)
        supervisor.start("one", crash)
    assert [round(later - times[0]) for later in times] == [0, 1, 3, 7, 12, 17]
    assert supervisor.restarts == 5
    assert telemetry.failures == [("task", "one")] * 5
    assert not supervisor.is_broken
    assert caplog.text.count("task crashed and is restarted") == 5
    assert '"task": "one", "attempt": 1' in caplog.text


async def test_a_task_that_worked_for_a_while_is_started_again_soon() -> None:
    times: list[float] = []

    async def crash() -> None:
        times.append(anyio.current_time())
        if len(times) == 3:
            await anyio.sleep(6)
        if len(times) < 5:
            raise ZeroDivisionError("a bug")

    async with anyio.create_task_group() as tasks:
        Supervisor(tasks, LIMITS).start("one", crash)
    assert [round(later - times[0]) for later in times] == [0, 1, 3, 10, 12]


async def test_a_crash_reaches_no_other_task() -> None:
    worked: list[int] = []

    async def crash() -> None:
        raise ZeroDivisionError

    async def work() -> None:
        for number in range(10):
            await anyio.sleep(1)
            worked.append(number)

    async with anyio.create_task_group() as tasks:
        supervisor = Supervisor(tasks, LIMITS)
        supervisor.start("crash", crash)
        supervisor.start("work", work)
        await anyio.sleep(20)
        supervisor.stop()
    assert worked == list(range(10))


async def test_a_task_inherits_nobodys_context() -> None:
    place: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="nowhere")
    seen: list[str] = []

    async def look() -> None:
        seen.append(place.get())

    place.set("here")
    async with anyio.create_task_group() as tasks:
        Supervisor(tasks, LIMITS).start("look", look)
    assert seen == ["nowhere"]


async def test_tasks_go_on_in_a_cancelled_scope_until_they_are_stopped() -> None:
    worked: list[float] = []

    async def work() -> None:
        try:
            while True:
                await anyio.sleep(1)
                worked.append(anyio.current_time())
        finally:
            worked.append(-1)

    async with anyio.create_task_group() as tasks:
        supervisor = Supervisor(tasks, LIMITS)
        supervisor.start("work", work)
        await anyio.sleep(0.5)
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.sleep(3)
        assert len(worked) == 3
        supervisor.stop()
    assert worked[-1] == -1
    assert not supervisor.is_broken


async def test_what_is_started_after_the_end_does_not_run() -> None:
    ran: list[int] = []

    async def run() -> None:
        ran.append(1)

    async with anyio.create_task_group() as tasks:
        supervisor = Supervisor(tasks, LIMITS)
        supervisor.stop()
        supervisor.start("run", run)
    assert ran == []


async def test_who_starts_something_when_all_has_ended_is_not_disturbed() -> None:
    ran: list[str] = []

    async def run() -> None:
        ran.append("late")

    async with anyio.create_task_group() as tasks:
        supervisor = Supervisor(tasks, LIMITS)
        supervisor.stop()
    supervisor.start("late", run)
    await anyio.wait_all_tasks_blocked()
    assert not ran


async def test_an_exit_of_the_process_is_no_crash() -> None:
    class Exit(BaseException):
        pass

    async def leave() -> None:
        raise Exit

    with pytest.raises(BaseExceptionGroup) as caught:  # noqa: PT012
        async with anyio.create_task_group() as tasks:
            supervisor = Supervisor(tasks, LIMITS)
            supervisor.start("leave", leave)
    assert caught.group_contains(Exit)
    assert supervisor.is_broken
    assert supervisor.restarts == 0
