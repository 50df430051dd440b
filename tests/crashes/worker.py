"""Worker: the command line's own, with limits under which an outage, and what a killed one held, is soon over."""

import sys
from collections.abc import Sequence
from functools import partial

# What the command line imports when it is needed, a nursery's workers have from the start.
import adapters.cli.app
import adapters.postgres
import adapters.sqlite  # noqa: F401
from adapters.cli import main, worker
from bus import Bus, Limits
from tests.crashes.nursery import Nursery

LIMITS = Limits(append_attempts_max=3, lease_s=0.3, poll_interval_s=0.05)


def nursery() -> Nursery:
    """Where such workers are forked."""
    return Nursery(__name__, "tests.crashes.jars", "anyio._backends._asyncio")


def live(arguments: Sequence[str]) -> None:
    """Serves as `doubledecker worker` with these arguments does, and ends the process."""
    worker.Bus = partial(Bus, limits=LIMITS)  # type: ignore[attr-defined, assignment]
    sys.argv[1:] = ["worker", *arguments]
    main()
