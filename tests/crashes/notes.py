"""Notes: what a client knows of its commands, whatever becomes of the worker; wrong answers are found at once."""

import json
from collections import Counter, deque
from typing import Any, Final

import msgspec

Line = dict[str, Any]
"""A command as it is sent; all have a `command_id`."""


NOT_RECORDED: Final = "store-unavailable"
UNKNOWN: Final = "outcome-unknown"


class Answered(msgspec.Struct, frozen=True):
    """A receipt, without what differs from one sending of the command to the next."""

    command_id: str
    stream: str
    version: int
    position: int
    events: int


class Notes:
    """Outlives the worker. Raises `AssertionError` for an answer that no worker may give.

    Where the store may be away, a worker may also say that a command is not recorded, or that it does not know; the
    first is taken at its word.
    """

    def __init__(self, *, outages: bool = False) -> None:
        self._outages = outages
        self.acknowledged: dict[str, Answered] = {}
        self.lines: dict[str, Line] = {}
        """All that was acknowledged, to be sent again."""
        self.rejected: set[str] = set()
        self.open: dict[str, Line] = {}
        """Sent and not answered, in the order sent."""
        self.old: set[str] = set()
        """Those of them that may be recorded, by an earlier life or by an append of unknown outcome."""
        self.failed: deque[Line] = deque()
        """Those that were answered by an error of the store, to be sent again."""
        self.failures: Counter[str] = Counter()
        """Such answers, by their code."""
        self.found_recorded = 0
        """Commands that a life recorded and did not live to acknowledge."""
        self.found_absent = 0
        """Commands that a life was sent and did not record."""
        self.duplicates = 0

    def sent(self, line: Line) -> None:
        command_id = line["command_id"]
        if command_id not in self.acknowledged:
            self.open.setdefault(command_id, line)

    def died(self) -> None:
        """The worker is no more: what it was sent may be recorded or not."""
        self.old.update(self.open)

    def answered(self, line: Line, text: bytes) -> Answered | None:
        """Takes the answer to a line; gives the receipt where something was recorded now."""
        answer = json.loads(text)
        command_id = line["command_id"]
        if "error" in answer:
            code = answer["error"]["code"]
            if self._outages and code in (NOT_RECORDED, UNKNOWN):
                self._failed(line, code)
                return None
            assert code == "rejected.too-light", answer
            assert command_id not in self.acknowledged, f"acknowledged, and now rejected: {answer}"
            self.rejected.add(command_id)
            self.open.pop(command_id, None)
            return None
        is_duplicate = answer["receipt"].pop("duplicate")
        receipt = msgspec.convert(answer["receipt"], Answered)
        assert receipt.command_id == command_id, (line, answer)
        first = self.acknowledged.get(command_id)
        if first is not None:
            assert receipt == first, "the same command has another place now"
            assert is_duplicate, f"recorded twice: {receipt}"
            self.duplicates += 1
            return None
        assert not is_duplicate or command_id in self.old, f"never sent before: {receipt}"
        if command_id in self.old:
            self.old.discard(command_id)
            self.found_recorded += is_duplicate
            self.found_absent += not is_duplicate
        self.acknowledged[command_id] = receipt
        self.lines[command_id] = line
        self.open.pop(command_id, None)
        return None if is_duplicate else receipt

    def _failed(self, line: Line, code: str) -> None:
        self.failures[code] += 1
        if line["command_id"] in self.open:
            self.failed.append(line)
            if code == UNKNOWN:
                self.old.add(line["command_id"])
