"""The pytest plugin gives tests a bus and virtual time where they ask for it, and leaves all others alone."""

import pytest

from tests.architecture import tree

pytest_plugins = ("pytester",)

CONFTEST = """
import pytest
from tests.support.bank import BANK

@pytest.fixture
def application():
    return BANK
"""
SENDS = """
from bus import Bus
from tests.support.bank import Open

async def test_sends(bus: Bus) -> None:
    receipt = await bus.send(Open("a"))
    assert receipt.position == 1
    await bus.wait_settled()

async def test_sends_to_a_bus_of_its_own(bus: Bus) -> None:
    assert (await bus.send(Open("a"))).position == 1
"""
SLEEPS = """
import anyio
import pytest

@pytest.mark.anyio
async def test_sleeps(anyio_backend_name):
    before = anyio.current_time()
    await anyio.sleep(86_400)
    assert anyio.current_time() - before < 86_401

@pytest.mark.anyio
async def test_sleeps_again():
    await anyio.sleep(86_400)
"""


BOTH = "[pytest]\ndoubledecker_virtual_time = asyncio trio\n"


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """Another project, in which Doubledecker is installed."""
    pytester.syspathinsert(tree.ROOT)
    pytester.makeconftest(CONFTEST)
    return pytester


def test_every_test_that_asks_gets_an_open_bus_of_its_own(project: pytest.Pytester) -> None:
    project.makepyfile(SENDS)
    result = project.runpytest("-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*test_sends[[]asyncio[]] PASSED*", "*test_sends[[]trio[]] PASSED*"])


def test_a_project_that_asks_for_virtual_time_has_it_in_all_tests_of_anyio(project: pytest.Pytester) -> None:
    project.makeini(BOTH)
    project.makepyfile(test_sends=SENDS, test_sleeps=SLEEPS)
    project.runpytest().assert_outcomes(passed=8)


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_virtual_time_is_on_the_event_loops_that_are_named(project: pytest.Pytester, name: str) -> None:
    project.makeini(f"[pytest]\ndoubledecker_virtual_time = {name}\n")
    project.makepyfile(SLEEPS)
    result = project.runpytest("-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"*test_sleeps[[]{name}[]] PASSED*", f"*test_sleeps_again[[]{name}[]] PASSED*"])


def test_a_project_that_does_not_ask_keeps_the_event_loops_of_anyio(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest

        @pytest.mark.anyio
        async def test_it(anyio_backend):
            assert anyio_backend in ("asyncio", "trio")
    """)
    project.runpytest().assert_outcomes(passed=2)


def test_a_projects_own_event_loop_goes_before_the_setting(project: pytest.Pytester) -> None:
    project.makeini(BOTH)
    project.makepyfile("""
        import pytest

        @pytest.fixture
        def anyio_backend():
            return "trio"

        async def test_it(bus, anyio_backend_options):
            assert anyio_backend_options == {}
    """)
    project.runpytest().assert_outcomes(passed=1)


def test_an_event_loop_without_virtual_time_is_refused(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\ndoubledecker_virtual_time = asyncio curio\n")
    result = project.runpytest()
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*doubledecker_virtual_time: curio is none of asyncio, trio*"])


def test_without_an_application_the_error_says_what_to_define(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("async def test_it(bus): ...")
    result = pytester.runpytest()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*opens your application: define it as a fixture*", "*return TRAFFIC*"])


def test_stores_and_limits_are_those_that_a_project_defines(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest
        from bus import Limits, MemoryEventStore, MemoryViewStore
        from tests.support.bank import Open

        @pytest.fixture(params=["one", "another"])
        def event_store():
            return MemoryEventStore()

        @pytest.fixture
        def view_store():
            return MemoryViewStore()

        @pytest.fixture
        def limits():
            return Limits(page_events_max=7)

        async def test_it(bus, event_store, view_store):
            await bus.send(Open("a"))
            assert await event_store.head() == 1
            assert await view_store.prepare([]) == {}
            assert bus.limits.page_events_max == 7
    """)
    project.runpytest().assert_outcomes(passed=4)


def test_a_fixture_of_the_same_name_stays_the_projects(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.fixture
        def bus():
            return "number 9"

        def test_it(bus):
            assert bus == "number 9"
    """)
    pytester.runpytest().assert_outcomes(passed=1)


def test_a_project_that_merely_has_it_installed_imports_nothing_of_the_bus(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys

        def test_it(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("doubledecker")
            assert {"bus", "msgspec", "structlog"} & set(sys.modules) == set()
    """)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
