"""Virtual time: event loops on which nobody waits; when every task does, the clock jumps to the next deadline."""

import asyncio
import selectors
from typing import Any

LONGEST_S = 10_000_000.0
"""Nobody means to wait this long, a third of a year: what is left then are timers that start themselves again."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose time begins at 0.0 and passes only while nothing else can happen.

    Work in other threads and processes takes no time at all on this clock: while it lasts, deadlines pass.
    Raises `AssertionError` out of the loop once its time has passed `LONGEST_S`.
    """

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)  # type: ignore[arg-type]

    def time(self) -> float:
        return self._jumping.now


def backend(name: str = "asyncio") -> tuple[str, dict[str, Any]]:
    """What the fixture `anyio_backend` returns for virtual time on `"asyncio"` or `"trio"`.

    `anyio.run(main, backend=name, backend_options=options)` takes the two parts of it, once each: a clock of trio's
    goes on where it stood.
    """
    if name == "asyncio":
        return name, {"loop_factory": VirtualLoop}
    if name == "trio":
        import trio.testing  # noqa: PLC0415  # It is an extra, and may be missing.

        return name, {"clock": trio.testing.MockClock(autojump_threshold=0)}
    raise ValueError(f"there is virtual time on 'asyncio' and on 'trio', not on {name!r}")


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
            assert self.now < LONGEST_S, "the tasks of this event loop wait for each other; only timers still wake up"
        return ready

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)
