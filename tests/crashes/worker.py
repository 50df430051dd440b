"""Worker: the command line's own, with limits under which an outage, and what a killed one held, is soon over."""

from functools import partial

from adapters.cli import main, worker
from bus import Bus, Limits

LIMITS = Limits(append_attempts_max=3, lease_s=0.3, poll_interval_s=0.05)

if __name__ == "__main__":
    worker.Bus = partial(Bus, limits=LIMITS)  # type: ignore[attr-defined, assignment]
    main()
