"""Fixtures of the SQLite tests: asyncio, and uvloop which is asyncio too; a check that no thread is left."""

import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(
    params=[pytest.param(("asyncio", {}), id="asyncio"), pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")]
)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        # A thread whose caller was cancelled ends by itself, soon.
        thread.join(timeout=10)
        assert not thread.is_alive(), f"{thread} is left"
