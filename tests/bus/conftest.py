"""Fixtures of the bus's tests: both event loops, each with virtual time."""

import pytest

from bus.testing import virtual_time


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return virtual_time.backend(request.param)
