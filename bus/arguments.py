"""Arguments: what callers of the bus give, checked and brought into one form, or refused."""

import math
from typing import NoReturn

from bus.core.errors import BusClosed, DefinitionError
from bus.core.letters import After
from bus.core.messages import Receipt


def check_store(name: str, store: object, method: str) -> None:
    if store is not None and not hasattr(store, method):
        raise DefinitionError(f"{name} must be a store such as SqliteEventStore or SqliteViewStore, not {store!r}")


POSITION_MAX = 2**63 - 1


def after_of(after: Receipt | int | None) -> After:
    if isinstance(after, Receipt):
        # Without events there is nothing of its own to wait for but what it was decided on.
        return After(after.position, after.position + 1 - len(after.events), after.stream)
    if after is not None and not isinstance(after, int):
        raise TypeError(f"what is waited for must be a receipt or a position, not {after!r}")
    return After(after, after) if after else After(0, 1)


def seconds_of(timeout: float | None, default: float) -> float:
    if timeout is None:
        return default
    if not isinstance(timeout, int | float) or math.isnan(timeout):
        raise TypeError(f"timeout must be a number of seconds, not {timeout!r}")
    return timeout


def refuse(*_: object, **__: object) -> NoReturn:
    """For every call outside the bus's block."""
    raise BusClosed("the bus is not open: nothing was recorded. Use it inside `async with Bus(...) as bus`")


def refuse_elsewhere() -> NoReturn:
    """For calls from where an open bus's answers would not arrive."""
    raise BusClosed(
        "the bus is open on another event loop, or in another thread: nothing was recorded. "
        "Call it where it was opened, from threads by `anyio.from_thread.run`"
    )


def no_loop() -> None:
    """The event loop of a bus that is not open."""
    return
