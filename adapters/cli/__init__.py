"""The command line: `doubledecker`, which plays the demo, serves a worker and exports events."""

import gc
import os
import sys
from collections.abc import Sequence
from typing import Final

SWITCH_INTERVAL_S: Final = 0.0002
"""How long the loop's thread may keep the interpreter from a store's thread that wants it. Python's 5 ms are long
against a transaction; measured on the demo, this is worth a fifth."""

GC_THRESHOLD: Final = 100_000
"""Allocations between two collections of the youngest objects; at Python's 700 every batch is scanned many times."""


def main() -> None:
    """What the installed script calls: runs the command line in a process of its own."""
    sys.exit(run(sys.argv[1:], own_process=True))


def run(arguments: Sequence[str], *, own_process: bool = False) -> int:
    """Runs one command line and returns the exit code: 0, 1 for a failure, 2 for what cannot be asked or opened.

    Whatever the user can do wrong ends in a message on standard error, never in a traceback. In a process of its own
    the interpreter is set up for the work; a library must not do that.
    """
    try:
        from adapters.cli.app import execute  # noqa: PLC0415  # Its packages are an extra, and may be missing.
    except ModuleNotFoundError as error:
        if error.name not in ("cyclopts", "rich"):
            raise
        print(f"the command line needs the package {error.name}: pip install 'doubledecker[cli]'", file=sys.stderr)
        return 2
    try:
        return execute(arguments, prepare=set_up_process if own_process else None)
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        _discard_output()
        return 141
    except OSError as error:
        # Commands translate what concerns files and stores, which leaves the output: a full disk, for one.
        _discard_output()
        print(f"doubledecker: cannot write the output: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _discard_output() -> None:
    """Else Python complains at exit, when it flushes what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def set_up_process() -> None:
    """Fewer collections of garbage and shorter waits between threads, for a process that is all ours."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 50, 100)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
