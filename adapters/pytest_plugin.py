"""The pytest plugin: an open bus for each test that asks for one, and virtual time for projects that ask for it.

pytest loads this module in every environment that has Doubledecker, whatever is tested there. Therefore it is no part
of `bus`, imports nothing of it before a test asks, and changes no test that does not.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from bus import Application, Bus, Limits
    from bus.ports import EventStore, ViewStore

VIRTUAL_TIME = "doubledecker_virtual_time"
"""The setting that names event loops."""

LOOPS = ("asyncio", "trio")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the setting."""
    parser.addini(
        VIRTUAL_TIME,
        type="args",
        default=[],
        help="event loops on which anyio's tests run, in virtual time: asyncio, trio or both; none leaves them alone",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Puts virtual time in the place of anyio's own event loops where the project says so."""
    names: list[str] = config.getini(VIRTUAL_TIME)
    unknown = [name for name in names if name not in LOOPS]
    if unknown:
        raise pytest.UsageError(f"{VIRTUAL_TIME}: {', '.join(unknown)} is none of {', '.join(LOOPS)}")
    if names:
        # Of two plugins with a fixture of one name the later wins, and all that are installed are there by now.
        config.pluginmanager.register(_virtual_time(names), "doubledecker-virtual-time")


@pytest.fixture
def application() -> NoReturn:
    """The application of the fixture `bus`; every project defines its own."""
    pytest.fail(
        "the fixture `bus` opens your application: define it as a fixture, in conftest.py or beside the tests\n\n"
        "    @pytest.fixture\n    def application() -> Application:\n        return TRAFFIC",
        pytrace=False,
    )


@pytest.fixture
def event_store() -> EventStore | None:
    """The event store of the fixture `bus`: in memory, unless a project defines its own."""
    return None


@pytest.fixture
def view_store() -> ViewStore | None:
    """The view store of the fixture `bus`: in memory, unless a project defines its own."""
    return None


@pytest.fixture
def limits() -> Limits | None:
    """The limits of the fixture `bus`: the defaults, unless a project defines its own."""
    return None


@pytest.fixture
async def bus(
    application: Application,
    event_store: EventStore | None,
    view_store: ViewStore | None,
    limits: Limits | None,
    # anyio's plugin runs a test that has this fixture, so that no mark is needed.
    anyio_backend: object,
) -> AsyncGenerator[Bus]:
    """A bus of the fixture `application`, open while the test runs."""
    from bus import Bus  # noqa: PLC0415  # See the first lines.

    async with Bus(application, event_store=event_store, view_store=view_store, limits=limits) as opened:
        yield opened


def _virtual_time(names: list[str]) -> object:
    class VirtualTime:
        """A plugin of one fixture, whose parameters come from the setting."""

        @pytest.fixture(scope="module", params=names)
        def anyio_backend(self, request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
            """An event loop with virtual time."""
            from bus.testing import virtual_time  # noqa: PLC0415  # See the first lines.

            return virtual_time.backend(request.param)

    return VirtualTime()
