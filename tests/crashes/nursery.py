"""Nursery: a process in which everything is imported, and which forks the workers that are to be killed.

A worker is at work at once, where a Python that starts anew imports for most of its life. Each is a process of its
own; whoever asked for it gives it its pipes and may kill it by its id, which stays its own until it was waited for.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.architecture.tree import ROOT

_REQUEST_BYTES_MAX = 65_536
_PIPES = 3
"""Standard input, output and error."""

STOPPED = 1_000
"""Instead of an exit code, for one that can go on."""

Live = Callable[[Sequence[str]], None]
"""What a worker does with its arguments; a module that is given to a nursery has it as `live`."""


class Child:
    """One process that was forked; stands in for a `subprocess.Popen`."""

    def __init__(self, nursery: "Nursery", pid: int) -> None:
        self._nursery = nursery
        self.pid = pid
        self.returncode: int | None = None
        """As `subprocess` has it; None until it was waited for."""

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Returns when it has ended, and how, or when it was stopped."""
        if self.returncode is not None:
            return self.returncode
        ended = self._nursery.ask({"wait": self.pid})
        if ended != STOPPED:
            self.returncode = ended
        return ended

    def goes_on(self) -> None:
        """After it was stopped."""
        os.kill(self.pid, signal.SIGCONT)


class Nursery:
    """Started with the module whose workers it forks, and others that they need; used by one thread at a time."""

    def __init__(self, module: str, *others: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), module, *others],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._socket = ours

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self._process.wait()

    def start(self, arguments: Sequence[str], *, folder: Path, stdin: int, stdout: int, stderr: int) -> Child:
        """A process that lives in that folder, on those pipes, of which it has copies."""
        pid = self.ask({"arguments": arguments, "folder": str(folder)}, stdin, stdout, stderr)
        return Child(self, pid)

    def ask(self, request: Mapping[str, Any], *pipes: int) -> int:
        socket.send_fds(self._socket, [json.dumps(request).encode()], pipes)
        answer = self._socket.recv(_REQUEST_BYTES_MAX)
        assert answer, "the nursery has ended"
        return int(answer)


def serve(control: socket.socket, live: Live) -> None:
    """Forks and waits for as long as it is asked to; in the child it returns when the worker's life is over."""
    while True:
        request, pipes, *_ = socket.recv_fds(control, _REQUEST_BYTES_MAX, _PIPES)
        if not request:
            return
        asked = json.loads(request)
        if "wait" in asked:
            _, status = os.waitpid(asked["wait"], os.WUNTRACED)
            control.send(b"%d" % (STOPPED if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)))
            continue
        pid = os.fork()
        if pid == 0:
            control.close()
            for target, pipe in enumerate(pipes):
                os.dup2(pipe, target)
                os.close(pipe)
            os.chdir(asked["folder"])
            live(asked["arguments"])
            return
        for pipe in pipes:
            os.close(pipe)
        control.send(b"%d" % pid)


if __name__ == "__main__":
    number, module, *others = sys.argv[1:]
    for other in others:
        import_module(other)
    imported = import_module(module)
    # So that no child looks through it all for garbage, and writes to it.
    gc.collect()
    gc.freeze()
    with suppress(KeyboardInterrupt), socket.socket(fileno=int(number)) as listening:
        serve(listening, imported.live)
