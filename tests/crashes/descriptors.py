"""Descriptors: makes the real calls on a file of this process fail, by exchanging what its descriptors refer to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WITHOUT_WRITING = os.O_RDONLY
WITHOUT_READING = os.O_WRONLY
FULL = Path("/dev/full")
"""Where every write is refused for want of room."""


def descriptors_of(path: Path) -> list[int]:
    """Those that are open in this process now."""
    found: list[int] = []
    for name in os.listdir("/proc/self/fd"):
        try:
            is_this = os.readlink(f"/proc/self/fd/{name}") == str(path)
        except OSError:
            # The one that lists the folder.
            continue
        if is_this:
            found.append(int(name))
    return found


@contextmanager
def exchanged(path: Path, mode: int, target: Path | None = None) -> Iterator[None]:
    """Meanwhile what this process has opened of a file can only be used in that way, or is another file.

    What is opened meanwhile is not concerned. (That the process loses its locks on the file, as it does whenever one
    of its descriptors is closed, matters to other processes alone.)
    """
    held = descriptors_of(path)
    assert held, f"{path} is not open"
    saved = {descriptor: os.dup(descriptor) for descriptor in held}
    _refer(held, target or path, mode)
    try:
        yield
    finally:
        for descriptor, original in saved.items():
            # One that was closed meanwhile may be something else by now.
            if descriptor in descriptors_of(target or path):
                os.dup2(original, descriptor, inheritable=False)
            os.close(original)


def _refer(descriptors: list[int], path: Path, mode: int) -> None:
    other = os.open(path, mode)
    for descriptor in descriptors:
        os.dup2(other, descriptor, inheritable=False)
    os.close(other)
