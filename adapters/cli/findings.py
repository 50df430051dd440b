"""Findings: what is wrong with an application or with its golden files, each with its place."""

import inspect
import os
import traceback
from pathlib import Path

import msgspec

import bus

_OURS = Path(bus.__file__).parent


class Finding(msgspec.Struct, frozen=True):
    """One thing to mend."""

    rule: str
    """Stable, for programs: `command-without-decider`."""
    subject: str
    """What it is about, by its name."""
    message: str
    """What is wrong and what to do."""
    place: str = ""
    """`file.py:12`, where there is one."""

    def printed(self) -> str:
        """As a line for people."""
        return f"{self.place or self.subject}: {self.message} [{self.rule}]"


def place_of(thing: object) -> str:
    """Where a class or a function is defined; empty where nobody knows."""
    try:
        # Of a decorated function that is the one within.
        target = inspect.unwrap(thing) if callable(thing) else type(thing)
        path = inspect.getsourcefile(target)
        line = inspect.getsourcelines(target)[1]
    except (TypeError, OSError):
        return ""
    return "" if path is None else f"{_short(path)}:{line}"


def raised_at(error: BaseException) -> str:
    """The place in the user's code from which the bus's own raised an error; empty where there is none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
    return f"{_short(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""


def _is_ours(filename: str) -> bool:
    path = Path(filename)
    return filename.startswith("<") or _OURS in path.parents or path.parent == Path(__file__).parent


def _short(filename: str) -> str:
    """Relative to the current directory where it is below it."""
    relative = os.path.relpath(filename)
    return filename if relative.startswith(os.pardir) else relative
