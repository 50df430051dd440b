"""The worker as a process: what goes in, what comes out, and how it ends."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from adapters.cli.answers import ShownReceipt
from adapters.cli.lines import LINE_BYTES_MAX
from adapters.cli.wire import INVALID, MALFORMED, TOO_LONG, Order
from adapters.cli.worker import NOTICE
from adapters.sqlite import SqliteEventStore
from bus import Limits, UnknownCommand
from tests.adapters.cli.processes import MAIN
from tests.adapters.cli.workers import Worker, encoded, recorded, worker
from tests.architecture.tree import ROOT

STORE = ("--store", "sqlite:///flights.db")
DEPARTURE = {"type": "depart-flight", "flight_id": "F-1", "at": "2013-01-01T10:17:00Z"}

APPLICATION = """
from bus import Application, Command, Decider, Event, State

class Do(Command):
    id: str

class Done(Event, tag="done"): ...

class Thing(State): ...

def decide(command: Do, thing: Thing) -> list[Done]:
{body}
    return [Done()]

def evolve(thing: Thing, event: Done) -> Thing:
    return thing

APP = Application(
    deciders=[Decider(category="thing", initial=Thing(), identify=lambda do: do.id, decide=decide, evolve=evolve)]
)
"""


def schedule(number: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "schedule-flight",
        "flight_id": f"F-{number}",
        "carrier": "UA",
        "number": 1545,
        "origin": "EWR",
        "destination": "IAH",
        "aircraft": "N14228",
        "departs_at": "2013-01-01T10:15:00Z",
        "arrives_at": "2013-01-01T14:19:00Z",
        "command_id": f"schedule/{number}",
        **more,
    }


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def flights(tmp_path: Path) -> Iterator[Worker]:
    """A worker of the demo on a new store."""
    with worker(*STORE, folder=tmp_path) as running:
        yield running


def test_each_line_is_answered_before_the_next_is_sent(flights: Worker) -> None:
    for number in range(1, 4):
        flights.write(schedule(number))
        receipt = flights.answer()["receipt"]
        assert receipt == {
            "command_id": f"schedule/{number}",
            "stream": f"flight-F-{number}",
            "version": 1,
            "position": number,
            "events": 1,
            "duplicate": False,
        }
    flights.write({**DEPARTURE, "expected_version": 2})
    error = flights.answer()["error"]
    assert (error.pop("code"), error.pop("message") != "") == ("version-conflict", True)
    assert error == {"stream": "flight-F-1", "expected": 2, "actual": 1}
    assert flights.finish() == (0, "")


def test_many_lines_are_answered_in_their_order(flights: Worker, tmp_path: Path) -> None:
    lines = [schedule(number) if number % 5 else {"type": "fly"} for number in range(1, 10_001)]
    feeding = flights.feed(lines)
    answers = flights.answers()
    feeding.join()
    assert flights.finish() == (0, "")
    assert [answer["line"] for answer in answers] == list(range(1, 10_001))
    assert [answer["line"] for answer in answers if "error" in answer] == list(range(5, 10_001, 5))
    assert len(recorded(tmp_path / "flights.db")) == 8_000


def test_a_command_sent_again_after_a_restart_gets_its_first_receipt(tmp_path: Path) -> None:
    receipts = []
    for _ in range(2):
        with worker(*STORE, folder=tmp_path) as running:
            running.write(schedule(1))
            receipts.append(running.answer()["receipt"])
            assert running.finish() == (0, "")
    assert receipts[1] == {**receipts[0], "duplicate": True}
    assert len(recorded(tmp_path / "flights.db")) == 1


def test_what_is_no_command_is_answered_and_the_next_line_is_read(flights: Worker) -> None:
    for line, code in (
        (b"nonsense\n", "malformed-line"),
        (b"\x00\xff\xfe\n", "malformed-line"),
        (b"[" * 100_000 + b"\n", "malformed-line"),
        (b"x" * (3 * LINE_BYTES_MAX) + b"\n", "line-too-long"),
        ({"type": "fly"}, "unknown-command"),
        (DEPARTURE | {"att": 1}, "invalid-command"),
        (DEPARTURE, "rejected.not-scheduled"),
        (DEPARTURE | {"flight_id": "\0"}, "command-failed"),
    ):
        flights.write(line)
        assert flights.answer()["error"]["code"] == code
    flights.write(schedule(1))
    assert flights.answer()["line"] == 9
    assert flights.finish() == (0, "")


def test_a_line_of_one_mebibyte_is_a_command(flights: Worker) -> None:
    line = encoded(schedule(1)).rstrip()
    flights.write(line + b" " * (LINE_BYTES_MAX - len(line)) + b"\n")
    assert "receipt" in flights.answer()
    flights.write(line + b" " * (LINE_BYTES_MAX - len(line) + 1) + b"\n")
    assert flights.answer()["error"]["bytes_max"] == LINE_BYTES_MAX


def test_input_may_have_a_byte_order_mark_and_other_line_ends_and_end_without_one(flights: Worker) -> None:
    flights.write(b"\xef\xbb\xbf" + encoded(schedule(1)), b"\r\n", encoded(schedule(2)).replace(b"\n", b"\r\n"))
    flights.write(encoded(schedule(3)).rstrip())
    flights.stdin.close()
    answers = flights.answers()
    assert [(answer["line"], answer["receipt"]["position"]) for answer in answers] == [(1, 1), (3, 2), (4, 3)]
    assert flights.finish() == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_mid_stream_ends_the_worker_when_all_is_answered(
    flights: Worker, tmp_path: Path, number: signal.Signals
) -> None:
    feeding = flights.feed(schedule(one) for one in count(1))
    answers = [flights.answer() for _ in range(500)]
    flights.process.send_signal(number)
    answers += flights.answers()
    assert flights.process.wait(60) == 0
    feeding.join()
    assert flights.said() == NOTICE
    assert [answer["line"] for answer in answers] == list(range(1, len(answers) + 1))
    # What was answered is recorded, and what was recorded is answered.
    answered = [answer["receipt"]["command_id"] for answer in answers]
    assert sorted(event.command_id for event in recorded(tmp_path / "flights.db")) == sorted(answered)


def test_a_signal_ends_a_worker_that_waits_for_input(flights: Worker) -> None:
    flights.write(schedule(1))
    flights.answer()
    flights.process.send_signal(signal.SIGTERM)
    assert flights.process.wait(60) == 0
    assert flights.stdout.read() == b""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_the_worker_at_once(tmp_path: Path, number: signal.Signals, code: int) -> None:
    body = "    print('deciding', flush=True)\n    while True: pass"
    (tmp_path / "stuck.py").write_text(APPLICATION.format(body=body))
    with worker("--app", "stuck:APP", "--store", "memory:", folder=tmp_path) as running:
        running.write({"type": "do", "id": "1"})
        assert running.said_next() == b"deciding\n"
        running.process.send_signal(number)
        assert running.said_next() == NOTICE
        running.process.send_signal(number)
        assert running.process.wait(60) == code
        assert running.stdout.read() == b""
        assert running.said() == b""


def test_when_the_reader_of_the_answers_goes_away_the_worker_ends_quietly(flights: Worker, tmp_path: Path) -> None:
    feeding = flights.feed(schedule(one) for one in count(1))
    first = flights.answer()["receipt"]["command_id"]
    flights.stdout.close()
    assert flights.process.wait(60) == 128 + signal.SIGPIPE
    feeding.join()
    assert flights.said() == b""
    events = recorded(tmp_path / "flights.db")
    assert first in {event.command_id for event in events}, "the order among aggregates is nobody's promise"
    assert [event.position for event in events] == list(range(1, len(events) + 1))


def test_files_serve_as_input_and_output(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"".join(encoded(schedule(number)) for number in range(2_000)))
    with (
        (tmp_path / "in").open("rb") as source,
        (tmp_path / "out").open("wb") as sink,
        worker(*STORE, folder=tmp_path, stdin=source.fileno(), stdout=sink.fileno()) as running,
    ):
        assert running.finish() == (0, "")
    assert (tmp_path / "out").read_bytes().count(b'"receipt"') == 2_000


def test_a_terminal_serves_as_input(tmp_path: Path) -> None:
    controller, terminal = os.openpty()
    with worker(*STORE, folder=tmp_path, stdin=terminal) as running:
        os.close(terminal)
        os.write(controller, encoded(schedule(1)))
        assert running.answer()["line"] == 1
        os.write(controller, b"\x04")
        assert running.finish() == (0, "")
    os.close(controller)


def test_answers_that_cannot_be_written_end_the_worker_with_a_message(tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with worker(*STORE, folder=tmp_path, stdout=full) as running:
        os.close(full)
        running.write(schedule(1))
        code, said = running.finish()
    assert code == 1
    assert said == "doubledecker: stopped: No space left on device. Every command that was taken is finished\n"
    assert len(recorded(tmp_path / "flights.db")) == 1


def test_what_the_application_prints_does_not_come_between_the_answers(tmp_path: Path) -> None:
    noise = "import logging\nprint('importing')\nlogging.getLogger('app').warning('loading')\n"
    (tmp_path / "noisy.py").write_text(noise + APPLICATION.format(body="    print('deciding')"))
    with worker("--app", "noisy:APP", "--store", "memory:", folder=tmp_path) as running:
        running.write({"type": "do", "id": "1", "command_id": "one"})
        assert running.answer()["receipt"]["command_id"] == "one"
        code, said = running.finish()
    assert code == 0
    assert "importing" in said
    assert "loading" in said
    assert "deciding" in said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--store"),
        (["--store", "nonsense"], "'nonsense' is no URL of a store"),
        (["--store", "memory:", "--views", "nonsense"], "'nonsense' is no URL of a store"),
        (["--store", "sqlite:///notes.txt"], "notes.txt is not a database"),
        (["--store", "sqlite:///no/folder/flights.db"], "no/folder"),
        (["--store", "memory:", "--views", "sqlite:///notes.txt"], "notes.txt is not a database"),
        (["--store", "memory:", "--app", "traffic"], "write MODULE:NAME"),
        (["--store", "memory:", "--app", "nowhere:X"], "there is no module nowhere"),
        (["--store", "memory:", "--app", "wrong:APP"], "DefinitionError: there is more than one decider of category"),
        (["--store", "sqlite:///used.db"], "used.db is in use by another bus"),
    ],
)
async def test_what_cannot_be_opened_gets_a_message_and_exit_code_2(
    arguments: list[str], expected: str, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("no database\n" * 50)
    twice = APPLICATION.format(body="    ...").replace("deciders=[", "deciders=2 * [")
    (tmp_path / "wrong.py").write_text(twice)
    async with SqliteEventStore(tmp_path / "used.db"):
        with worker(*arguments, folder=tmp_path) as running:
            code, said = running.finish()
            answers = running.stdout.read()
    assert code == 2
    assert said.startswith("doubledecker: ")
    assert said.count("\n") == 1
    assert expected in said
    assert answers == b""


@pytest.mark.parametrize("descriptor", [0, 1])
def test_a_worker_without_input_or_output_says_so(tmp_path: Path, descriptor: int) -> None:
    started = subprocess.run(
        [
            "/bin/sh",
            "-c",
            f'exec "$@" {descriptor}{"<>"[descriptor]}&-',
            "sh",
            sys.executable,
            "-c",
            MAIN,
            "worker",
            *STORE,
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        check=False,
    )
    assert started.returncode == 2
    assert b"standard input or output is closed" in started.stderr
    assert not (tmp_path / "flights.db").exists()


def test_the_session_in_the_documentation_is_what_happens(flights: Worker) -> None:
    text = (ROOT / "docs/worker.md").read_text(encoding="utf-8")
    session = text.partition("<!-- session -->")[2].partition("<!-- end -->")[0]
    spoken = [line.split(" ", 1) for line in session.splitlines() if re.match("[<>] ", line)]
    assert len(spoken) > 6
    for who, line in spoken:
        if who == ">":
            flights.write(line.encode() + b"\n")
        else:
            assert flights.stdout.readline().decode() == f"{line}\n"
    assert flights.finish() == (0, "")


def test_the_documentation_names_the_keys_the_codes_and_the_limits_that_there_are() -> None:
    text = (ROOT / "docs/worker.md").read_text(encoding="utf-8")
    codes = {MALFORMED, TOO_LONG, INVALID, UnknownCommand.code}
    for name in (*Order.__struct_fields__[1:], *ShownReceipt.__struct_fields__, *codes):
        assert f"`{name}`" in text
    limits = Limits()
    for number in (LINE_BYTES_MAX, limits.send_many_commands_max):
        assert f"{number:,}" in text
    assert f"{limits.batch_bytes_max // LINE_BYTES_MAX} MiB" in text
    assert f"{limits.send_timeout_s:.0f} by default" in text
