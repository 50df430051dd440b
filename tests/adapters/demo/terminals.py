"""Terminals: the command line on a pseudo-terminal, as a person sees it."""

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import Final

from tests.adapters.cli.processes import MAIN
from tests.architecture.tree import ROOT

LONGEST_S: Final = 100.0

_ORDERS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(
    *arguments: str, rows: int = 30, columns: int = 100, term: str = "xterm-256color", interrupt_at: str | None = None
) -> tuple[int, str, str]:
    """Runs it to its end, interrupted when a text is seen: the exit code, all that was written, and only the text."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments],
        cwd=ROOT,
        env={**environment, "TERM": term},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    written = b""
    try:
        ends = time.monotonic() + LONGEST_S
        while True:
            ready, _, _ = select.select([ours], [], [], max(0.0, ends - time.monotonic()))
            assert ready, f"it does not end: {written[-500:]!r}"
            try:
                written += os.read(ours, 65_536)
            except OSError:
                break  # What Linux says when nobody has the other end any more.
            if interrupt_at is not None and interrupt_at.encode() in written:
                process.send_signal(signal.SIGINT)
                interrupt_at = None
        code = process.wait(60)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    everything = written.decode()
    return code, everything, _ORDERS.sub("", everything)
