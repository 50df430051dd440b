"""History: what happened in a simulation, line by line, the same for the same seed in every process."""

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(order="sorted").encode

LAST_LINES = 40
"""How much of a history a failure shows."""


class History:
    """The lines of one simulation; each has its time, whose life it is, and what."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.lines: list[str] = []
        self.counts: Counter[str] = Counter()
        """How often each kind of thing happened."""
        self.clock: Callable[[], tuple[float, str]] = lambda: (0.0, "0")
        """The time now, and the life of the process whose turn it is."""
        self.is_open = True
        """Whether anything is noted; not what a process does on its way out, which nobody sees."""

    def note(self, kind: str, text: str = "") -> None:
        """Adds a line."""
        if not self.is_open:
            return
        self.counts[kind] += 1
        time, life = self.clock()
        self.lines.append(f"{time:10.4f} {life:>3}  {kind} {text}")

    @property
    def digest(self) -> str:
        """The same for two histories only if every line is."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()

    def last(self, count: int = LAST_LINES) -> str:
        """The last lines, readable."""
        left_out = len(self.lines) - count
        head = [f"... {left_out} lines before"] if left_out > 0 else []
        return "\n".join([*head, *self.lines[-count:]])


def shown(message: msgspec.Struct) -> str:
    """A message in the same words in every process: a set has no order of its own."""
    fields: dict[str, Any] = {}
    for name in message.__struct_fields__:
        fields[name] = getattr(message, name)
    try:
        values = ", ".join([f"{name}={_encode(value).decode()}" for name, value in fields.items()])
    except (TypeError, ValueError):
        values = "..."
    return f"{type(message).__name__}({values})"
