"""Whatever lines a worker is sent: each gets one answer, in their order, and what is refused records nothing."""

import json
import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from anyio import lowlevel
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.cli.lines import LINE_BYTES_MAX
from adapters.cli.pipes import Input, Output
from adapters.cli.serving import Serving
from adapters.demo import TRAFFIC
from bus import Application, Bus
from tests.adapters.cli.workers import recorded, worker
from tests.fuzzing.documents import DEEP, documents
from tests.support.bank import ACCOUNT

APPLICATION: Final = Application(deciders=[ACCOUNT, *TRAFFIC.deciders])
KEYS: Final = ("$type", "$command_id", "$expected_version", "correlation_id", "$timeout", "type ", "\ud800")
IDS: Final = {"command_id": "c", "correlation_id": "talk", "causation_id": "one"}
ENVELOPE: Final = {**IDS, "expected_version": 0, "timeout": 30.0}
AT: Final = "2013-01-01T10:17:00Z"
COMMANDS: Final[Sequence[dict[str, Any]]] = (
    {"type": "open", "account_id": "a"},
    {"type": "open", "account_id": "a", **ENVELOPE},
    {"type": "deposit", "account_id": "a", "amount": 2.5},
    {"type": "withdraw", "account_id": "a", "amount": 1},
    {"type": "touch", "account_id": "a", **ENVELOPE},
    {
        **{"type": "schedule-flight", "flight_id": "F-1", "carrier": "UA", "number": 1545, "origin": "EWR"},
        **{"destination": "IAH", "aircraft": None, "departs_at": AT, "arrives_at": "2013-01-01T14:19:00Z"},
    },
    {"type": "depart-flight", "flight_id": "F-1", "at": AT},
    {"type": "cancel-flight", "flight_id": "F-1", "at": AT, **ENVELOPE},
)
LINES: Final = documents(COMMANDS, KEYS) | documents(COMMANDS, KEYS) | st.binary(max_size=30) | st.just(b" \t")
CODES: Final = (
    *("malformed-line", "line-too-long", "unknown-command", "invalid-command"),
    *("rejected.", "command-failed", "command-id-reused", "version-conflict", "deadline-exceeded"),
)
"""How what a line can be told begins; of a store that works, nothing else."""


class Fed(Input):
    """An input that is at hand."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._left = deque(chunks)

    async def read(self) -> bytes:
        await lowlevel.checkpoint()
        return self._left.popleft() if self._left else b""


class Kept(Output):
    """An output that keeps what is written."""

    def __init__(self) -> None:
        self.data = b""

    async def write(self, data: bytes) -> None:
        self.data += data


async def served(chunks: Sequence[bytes]) -> tuple[bytes, int]:
    """What a worker answers, and how many events it records."""
    output = Kept()
    async with Bus(APPLICATION) as bus:
        await Serving(bus, source=Fed(chunks), output=output, reading=anyio.CancelScope()).run()
        statistics = bus.statistics()
        assert statistics.restarts == 0, "a task of the bus crashed"
    assert bus.report is not None
    assert bus.report.is_clean
    return output.data, statistics.position


def numbers(stream: bytes) -> list[int]:
    """The lines that are to be answered, as the documentation counts them."""
    lines = stream.split(b"\n")
    lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
    return [number for number, line in enumerate(lines, 1) if line and not line.isspace()]


def check(stream: bytes, output: bytes, events: int) -> list[dict[str, Any]]:
    """The answers, each of them as it must be."""
    assert output == b"" or output.endswith(b"\n")
    assert b"Traceback" not in output
    answers: list[dict[str, Any]] = [json.loads(line.decode()) for line in output.splitlines()]
    assert [answer["line"] for answer in answers] == numbers(stream)
    fresh = 0
    for answer in answers:
        assert len(answer) == 2
        if "receipt" in answer:
            fresh += 0 if answer["receipt"]["duplicate"] else answer["receipt"]["events"]
        else:
            error = answer["error"]
            assert error["code"].startswith(CODES), error
            assert 0 < len(error["message"]) < 2_000, error
    assert fresh == events, "what was refused is recorded, or what was recorded is not told"
    return answers


@given(
    st.lists(LINES, max_size=8),
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.booleans(),
    st.integers(1, 200),
)
@settings(max_examples=300)
@example([b'{"type":"open","account_id":"a","timeout":1e-300}'], b"\n", b"", True, 1)
@example([b'{"type":"open","account_id":"a","expected_version":' + b"9" * 4_000 + b"}"], b"\n", b"", False, 99)
def test_every_line_gets_one_answer_in_order(
    lines: list[bytes], end: bytes, mark: bytes, is_ended: bool, size: int
) -> None:
    stream = mark + end.join(lines) + (end if is_ended else b"")
    # In small pieces at the beginning; those that are nested deeply would take thousands.
    head, rest = stream[:2_000], stream[2_000:]
    chunks = [head[start : start + size] for start in range(0, len(head), size)] + [rest] * bool(rest)
    output, events = anyio.run(served, chunks)
    check(stream, output, events)


def worst() -> list[bytes]:
    """Lines of a mebibyte, and some that are as deep as that allows."""
    opening = b'{"type":"open","account_id":'

    def filled(before: bytes, fill: bytes, after: bytes = b"") -> bytes:
        return before + fill * ((LINE_BYTES_MAX - len(before) - len(after)) // len(fill)) + after

    return [
        filled(opening + b'"a"', b" ", b"}"),
        filled(opening, b"9", b"}"),
        filled(opening, b"["),
        filled(opening, b'{"a":'),
        filled(opening + b'"', b"\\ud800", b'"}'),
        filled(opening + b'"', b'\\"', b'"}'),
        filled(opening + b'"', b"x", b'"}'),
        filled(opening + b'"', b"\xff", b'"}'),
        filled(b'{"type":"open","', b'\\"', b'":1}'),
        filled(b'{"type":"open","x\\"":[', b"{},", b"{}]}"),
        filled(b'{"type":"open","account_id":"a","expected_version":', b"1", b"}"),
        filled(b"", b"\0"),
        filled(b"", b"x") + b"x",
        b"{" + b",".join([b'"%d":1' % number for number in range(80_000)]) + b',"1":2}',
        opening + b"[" * DEEP + b"]" * DEEP + b"}",
    ]


def test_lines_of_a_mebibyte_are_answered_like_all_others() -> None:
    stream = b"\n".join([*worst(), b'{"type":"open","account_id":"last"}'])
    output, events = anyio.run(served, [stream[start : start + 65_536] for start in range(0, len(stream), 65_536)])
    answers = check(stream, output, events)
    assert [answer["line"] for answer in answers if "receipt" in answer] == [1, len(answers)]


def test_a_process_that_is_sent_all_that_answers_all_of_it_and_says_nothing_else(tmp_path: Path) -> None:
    lines: list[bytes] = []

    @given(LINES)
    @settings(max_examples=500)
    def draw(line: bytes) -> None:
        lines.append(line)

    draw()
    stream = b"\n".join([*lines, *worst()])
    (tmp_path / "in").write_bytes(stream)
    with (
        (tmp_path / "in").open("rb") as source,
        (tmp_path / "out").open("wb") as sink,
        worker("--store", "sqlite:///flights.db", folder=tmp_path, stdin=source.fileno(), stdout=sink.fileno()) as one,
    ):
        assert one.finish() == (0, "")
    answers = check(stream, (tmp_path / "out").read_bytes(), len(recorded(tmp_path / "flights.db")))
    assert len(answers) > 450


def test_nothing_is_logged_about_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        anyio.run(served, [b'{"type":"open","account_id":1}\n[\n\xff\n{"type":"deposit","account_id":"a","amount":1}'])
    assert caplog.records == []
