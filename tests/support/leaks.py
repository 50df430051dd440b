"""Leaks: after every test no task, no thread of a store or worker, and no open file is left; a plugin of pytest.

Tasks are looked for while the test's event loop still runs, since its end cancels whatever is there; this sees the
tasks of asyncio, uvloop and trio alike. Files are seen where the system lists them in /proc. Connections to a database
are open files; that one was dropped without being closed, Python 3.13 and later tell themselves, by a warning.
"""

import functools
import inspect
import os
import threading
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

import anyio
import pytest
from anyio import lowlevel

OURS: Final = ("doubledecker-", "_connection_worker_thread")
"""In the names of threads that our stores and pipes start; the second ones are aiosqlite's."""

DATABASES: Final = (".db", ".db-wal", ".db-shm", ".db-journal", ".lock")

_PATIENCE_S: Final = 10.0
"""A thread whose caller was cancelled ends by itself, soon."""
_TURNS: Final = 10
"""A task that is being cancelled needs some turns of its loop to end."""
_OPEN_FILES: Final = "/proc/self/fd"

Tasks = frozenset[tuple[int, str | None]]
Test = Callable[..., Coroutine[Any, Any, Any]]


@pytest.fixture(scope="session")
def _uvloop_has_its_pipe() -> None:
    """libuv opens one with the first loop and keeps it for all that follow."""
    with suppress(ModuleNotFoundError):
        import_module("uvloop").new_event_loop().close()


@pytest.fixture(autouse=True)
def _nothing_is_left(_uvloop_has_its_pipe: None) -> Iterator[None]:
    """Set up before and taken down after all other fixtures of the test."""
    before_threads, before_files = own_threads(), open_files()
    yield
    left = [*threads_left(before_threads), *files_left(before_files)]
    assert not left, f"the test leaves behind: {', '.join(left)}"


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Puts the look at the tasks around async tests, before anyio's plugin runs them."""
    plain = pyfuncitem.obj
    given = getattr(plain, "hypothesis", None)
    if inspect.iscoroutinefunction(plain):
        pyfuncitem.obj = leaving_no_task(plain)
    elif given is not None and inspect.iscoroutinefunction(given.inner_test):
        # For the next event loop it is put around already.
        given.inner_test = leaving_no_task(given.inner_test)
    try:
        return (yield)
    finally:
        pyfuncitem.obj = plain


def leaving_no_task(test: Test) -> Test:
    """The test, which fails if a task that it started is alive at its end."""

    @functools.wraps(test)
    async def run(*arguments: Any, **named: Any) -> Any:
        before = tasks()
        result = await test(*arguments, **named)
        for _ in range(_TURNS):
            if tasks() <= before:
                return result
            await lowlevel.checkpoint()
        left = sorted(str(name) for _, name in tasks() - before)
        assert not left, f"the test leaves tasks running: {', '.join(left)}"
        return result

    return run


def tasks() -> Tasks:
    """What is alive on the running event loop."""
    return frozenset((task.id, task.name) for task in anyio.get_running_tasks())


def own_threads() -> frozenset[threading.Thread]:
    """The threads of stores and workers."""
    return frozenset(one for one in threading.enumerate() if any(mark in one.name for mark in OURS))


def threads_left(before: frozenset[threading.Thread], patience_s: float = _PATIENCE_S) -> list[str]:
    """Those that were not there before, and do not end."""
    new = own_threads() - before
    for thread in new:
        thread.join(timeout=patience_s)
    return sorted(f"thread {thread.name}" for thread in new if thread.is_alive())


def open_files() -> dict[int, str]:
    """By descriptor, what each is open on; empty where the system does not tell."""
    found: dict[int, str] = {}
    try:
        names = os.listdir(_OPEN_FILES)
    except OSError:
        return found
    for name in names:
        try:
            found[int(name)] = os.readlink(f"{_OPEN_FILES}/{name}")
        except OSError:
            continue  # That was the listing itself.
    return found


def files_left(before: dict[int, str]) -> list[str]:
    """What is open now and was not: any database, or anything where more is open than before."""
    after = open_files()
    new = [f"open {target}" for number, target in after.items() if before.get(number) != target]
    return new if len(after) > len(before) else [one for one in new if one.endswith(DATABASES)]
