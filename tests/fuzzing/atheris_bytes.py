"""Bytes made by atheris, which sees by coverage what an input reached; a program of its own, and no test.

    python -m tests.fuzzing.atheris_bytes line -max_total_time=60

`make fuzz` runs it where atheris is installed (`pip install atheris`); it is no dependency, since it has wheels for
some versions of Python on Linux only: version 3.0.0 runs on Python 3.11, where this was tried. It sees into Python and
not into msgspec, which is written in C, so most of the depth is left to hypothesis, which knows how a line is made.
An input on which a target raises is written to `var/fuzz` and named; give that file as an argument to try it again.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

FOUND = Path(__file__).resolve().parents[2] / "var" / "fuzz"


def main() -> None:
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["adapters", "bus", "tests.fuzzing"]):
        target = TARGETS[sys.argv.pop(1)]()
    FOUND.mkdir(parents=True, exist_ok=True)
    atheris.Setup([*sys.argv, f"-artifact_prefix={FOUND}/"], target)
    atheris.Fuzz()


def line() -> Callable[[bytes], None]:
    """A worker's line: an order, or a refusal that can be written."""
    answers = import_module("adapters.cli.answers").answers
    wire: Any = import_module("adapters.cli.wire")
    read = wire.Wire(import_module("tests.support.bank").BANK).read

    def target(data: bytes) -> None:
        found = read(data)
        assert isinstance(found, wire.Order) or answers([(1, found)]).count(b"\n") == 1

    return target


def lines() -> Callable[[bytes], None]:
    """A stream of lines: the same ones in chunks of any size as in one piece."""
    splitter: Any = import_module("adapters.cli.lines").LineSplitter

    def split(chunks: list[bytes]) -> list[Any]:
        one = splitter(16)
        return [found for chunk in chunks for found in one.feed(chunk)] + list(one.finish())

    def target(data: bytes) -> None:
        size = data[0] % 7 + 1 if data else 1
        assert split([data]) == split([data[start : start + size] for start in range(0, len(data), size)])

    return target


def payload() -> Callable[[bytes], None]:
    """A stored payload: an event, or `Unreadable`."""
    schema = import_module("tests.support.bank").BANK.schema
    stored: Any = import_module("bus.core.stored").StoredEvent
    unreadable: type[Exception] = import_module("bus").Unreadable
    noon = import_module("tests.contracts.entries").NOON
    names = sorted(schema.by_name)

    def target(data: bytes) -> None:
        name = names[data[0] % len(names)] if data else "none"
        try:
            schema.recorded(stored(1, "account-a", 1, name, data[1:], noon, "c", b""))
        except unreadable:
            return

    return target


def flights() -> Callable[[bytes], None]:
    """A file of flights: records and reports, or `InputError`."""
    files: Any = import_module("adapters.flights.files")
    read: Any = import_module("adapters.flights.records").read_flights
    FOUND.mkdir(parents=True, exist_ok=True)
    path = FOUND / "flights.csv"

    def target(data: bytes) -> None:
        path.write_bytes(data)
        try:
            read(path)
        except files.InputError:
            return

    return target


TARGETS = {"line": line, "lines": lines, "payload": payload, "flights": flights}

if __name__ == "__main__":
    main()
