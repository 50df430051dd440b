"""Fixtures of the scenarios: both event loops, each with virtual time."""

import pytest

from tests.support import time


@pytest.fixture(params=time.BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return time.backend(request.param)
