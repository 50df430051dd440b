"""An input of a mebibyte takes no more work than its size: sixteen times as long, at most sixteen times as much.

Seconds depend on the machine and its neighbours, so that what is counted is the work: each call, also of functions
written in C, each line, and each object that is made meanwhile. What C itself does within one call is not seen here,
unless it takes so long that the test's time is up; `python -m bench --case input.worst` measures that, against reading
a harmless line of the same size.
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Final

import pytest

from adapters.cli.answers import answers
from adapters.cli.app import in_one_line
from adapters.cli.lines import LINE_BYTES_MAX, LineSplitter
from adapters.cli.wire import Refusal, Wire
from bench.worst import WORST
from bus import Unreadable
from bus.core.projection import index_value
from bus.core.stored import StoredEvent, text_fault
from tests.contracts.entries import NOON
from tests.support.bank import BANK

pytestmark = pytest.mark.timeout(30)
"""Two hundred times what any of these takes: no measure, but the end of what would take minutes within C."""

SMALL: Final = LINE_BYTES_MAX // 16
SLACK: Final = 500
"""What does not depend on the size."""


def work(function: Callable[[], object]) -> int:
    """Calls and lines while the function runs."""
    count = 0

    def note(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return note

    before = sys.getprofile(), sys.gettrace()
    sys.setprofile(note)
    sys.settrace(note)
    try:
        function()
    finally:
        sys.settrace(before[1])
        sys.setprofile(before[0])
    return count


def read(line: bytes) -> None:
    """What a worker does with a line, cut into chunks as they come, and with its answer."""
    wire = Wire(BANK)
    splitter = LineSplitter()
    for start in range(0, len(line), 65_536):
        for one in splitter.feed(line[start : start + 65_536]):
            assert one.text is not None
    for one in splitter.finish():
        assert one.text is not None
        found = wire.read(one.text)
        if isinstance(found, Refusal):
            assert len(answers([(1, found)])) < 4_000


def decode(payload: bytes) -> None:
    """What is done with a payload from a store."""
    for name in ("deposited", "noted"):
        try:
            BANK.schema.recorded(StoredEvent(1, "account-a", 1, name, payload, NOON, "c", b""))
        except Unreadable as error:
            assert len(str(error)) < 1_000


def ask(value: bytes) -> None:
    """What is done with a value in a query, a key, and a message on its way to a terminal."""
    text = value.decode(errors="replace")
    index_value(text)
    text_fault(text)


@pytest.mark.parametrize("full_of", WORST)
@pytest.mark.parametrize("done", [read, decode, ask])
def test_sixteen_times_as_long_is_at_most_sixteen_times_as_much_work(
    done: Callable[[bytes], None], full_of: str
) -> None:
    make = WORST[full_of]
    small, large = make(SMALL), make(LINE_BYTES_MAX)
    assert SMALL * 0.9 < len(small) <= SMALL
    assert LINE_BYTES_MAX * 0.9 < len(large) <= LINE_BYTES_MAX
    done(small)  # What is made once is made now.
    assert work(lambda: done(large)) <= 17 * work(lambda: done(small)) + SLACK


def test_work_that_grows_with_the_square_is_seen() -> None:
    def squared(size: int) -> Callable[[], int]:
        return lambda: sum([one * other for one in range(size) for other in Counter(range(size // 100))])

    assert work(squared(1_600)) > 17 * work(squared(100)) + SLACK


@pytest.mark.parametrize("text", ["x" * SMALL, "\n" * SMALL, "\x1b" * SMALL, "é" * SMALL])
def test_a_message_for_a_terminal_takes_work_of_its_size(text: str) -> None:
    assert work(lambda: in_one_line(text * 16)) <= 17 * work(lambda: in_one_line(text)) + SLACK


def test_the_worst_are_no_commands_that_are_carried_out_but_for_blanks_and_long_texts() -> None:
    wire = Wire(BANK)
    kinds: Sequence[str] = [name for name, make in WORST.items() if not isinstance(wire.read(make(SMALL)), Refusal)]
    assert set(kinds) <= {
        *("spaces", "a long text", "a long text of two bytes each", "escaped quotation marks", "escaped characters"),
        *("digits of a timeout", "digits of an amount"),
    }
