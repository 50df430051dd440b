"""What a test leaves behind is found, and fails it."""

import sqlite3
import threading
from pathlib import Path

import anyio
import pytest

from bus.testing import virtual_time
from tests.support import leaks


@pytest.fixture(params=["asyncio", "trio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return ("asyncio", {"use_uvloop": True}) if request.param == "uvloop" else virtual_time.backend(request.param)


async def test_a_task_that_still_runs_at_the_end_of_a_test_fails_it() -> None:
    async with anyio.create_task_group() as group:

        async def leave_one() -> None:
            group.start_soon(anyio.sleep_forever, name="the one left")

        with pytest.raises(AssertionError, match="leaves tasks running: the one left"):
            await leaks.leaving_no_task(leave_one)()
        group.cancel_scope.cancel()


async def test_a_task_that_was_there_before_or_is_about_to_end_is_not_left() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep_forever)

        async def tidy() -> None:
            group.start_soon(anyio.lowlevel.checkpoint)

        await leaks.leaving_no_task(tidy)()
        group.cancel_scope.cancel()


def test_a_thread_of_ours_that_does_not_end_is_left() -> None:
    before = leaks.own_threads()
    go = threading.Event()
    ours = threading.Thread(target=go.wait, name="doubledecker-events")
    others = threading.Thread(target=go.wait, name="somebody's own")
    for thread in (ours, others):
        thread.start()
    assert leaks.threads_left(before, patience_s=0) == ["thread doubledecker-events"]
    go.set()
    assert leaks.threads_left(before) == []
    others.join()


@pytest.mark.skipif(not leaks.open_files(), reason="the system does not tell which files are open")
def test_an_open_database_is_left_and_a_closed_one_is_not(tmp_path: Path) -> None:
    before = leaks.open_files()
    connection = sqlite3.connect(tmp_path / "some.db")
    connection.execute("CREATE TABLE t(x)")
    assert leaks.files_left(before) == [f"open {tmp_path / 'some.db'}"]
    connection.close()
    assert leaks.files_left(before) == []


@pytest.mark.skipif(not leaks.open_files(), reason="the system does not tell which files are open")
def test_a_database_in_the_place_of_another_file_is_left(tmp_path: Path) -> None:
    with (tmp_path / "notes.txt").open("w"):
        before = leaks.open_files()
    with (tmp_path / "some.db").open("w"):
        assert leaks.files_left(before) == [f"open {tmp_path / 'some.db'}"]


LEAKING = """
import anyio
import pytest

@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param

@pytest.fixture
async def group():
    async with anyio.create_task_group() as group:
        yield group
        group.cancel_scope.cancel()

@pytest.mark.anyio
async def test_task(group):
    group.start_soon(anyio.sleep_forever, name="left")

kept = []

def test_file(tmp_path):
    kept.append((tmp_path / "kept.db").open("w"))

def teardown_module():
    kept.pop().close()

@pytest.mark.anyio
async def test_tidy(group):
    pass
"""


def test_it_is_the_suite_itself_that_fails_for_what_is_left(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(LEAKING)
    result = pytester.runpytest_inprocess("-p", "tests.support.leaks", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=2, passed=3, errors=1)
    result.stdout.fnmatch_lines_random(["*leaves tasks running: left", "*leaves behind: open *kept.db"])
