"""Event loops on which time is virtual: when every task waits, the clock jumps to the next deadline."""

import asyncio
import selectors
from typing import Any

import pytest
import trio.testing

LONGEST_S = 10_000_000.0
"""No test means to wait this long: its tasks wait for each other, and only timers still wake up."""


class _Jumping:
    """A selector that never waits for time."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            # Only another thread can wake this loop; real time has to pass.
            return self._selector.select(None)
        ready = self._selector.select(0)
        if not ready and timeout > 0:
            self.now += timeout
            assert self.now < LONGEST_S, "the tasks of this test wait for each other"
        return ready

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose time passes only while nothing else can happen."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)  # type: ignore[arg-type]

    def time(self) -> float:
        return self._jumping.now


BACKENDS = [pytest.param("asyncio", id="asyncio"), pytest.param("trio", id="trio")]


def backend(name: str) -> tuple[str, dict[str, Any]]:
    """What the fixture `anyio_backend` returns for virtual time."""
    if name == "trio":
        return name, {"clock": trio.testing.MockClock(autojump_threshold=0)}
    return name, {"loop_factory": VirtualLoop}
