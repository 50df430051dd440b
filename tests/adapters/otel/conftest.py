"""Fixtures of the telemetry's tests: both event loops, in real time, which is what spans are dated by."""

import pytest


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param
