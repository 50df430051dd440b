"""Files: the lines of a CSV file, compressed or not, with one clear error for a file that is none."""

import csv
import gzip
import io
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

import msgspec

LINE_CHARACTERS_MAX: Final = 64 * 1024
"""A longer line is no flight; the limit keeps a file without line ends from being read whole."""

_GZIP_MAGIC = b"\x1f\x8b"


class InputError(Exception):
    """The file as a whole cannot be used; the message says which file and why."""


class UnusableRow(msgspec.Struct, frozen=True):
    """A line of the file that was left out."""

    line: int
    """As an editor counts: the header is line 1."""
    reason: str


class Unusable(Exception):
    """Why a row cannot be used; caught by the reader, which knows the line."""


@contextmanager
def opened(path: Path) -> Generator[TextIO]:
    """The text of a file, decompressed if need be; whatever goes wrong while it is read is an `InputError`."""
    try:
        with path.open("rb") as raw:
            compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            binary = gzip.GzipFile(fileobj=raw) if compressed else raw
            # A GzipFile has no fast way to read a line; the wrapper's buffer makes up for it.
            with io.TextIOWrapper(io.BufferedReader(binary, 1 << 16), encoding="utf-8-sig", newline=None) as text:
                yield text
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a CSV file in UTF-8") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def rows(
    text: TextIO, name: str, columns: Sequence[str], unusable: list[UnusableRow]
) -> Iterator[tuple[int, list[str]]]:
    """The line number and the values of `columns` for each row; a row without them all goes to `unusable`.

    Columns that are not in the file but are marked by a leading `?` are empty. Blank lines are skipped. Every line is
    a row of its own, so that an open quotation mark spoils one row and not all that follow.
    """
    lines = _numbered(text, name)
    header = _header(next(lines, (1, ""))[1], name)
    places = _places(header, name, columns)
    width = len(header)
    for number, line in lines:
        try:
            values = next(csv.reader((line,), strict=True))
        except csv.Error as error:
            unusable.append(UnusableRow(number, f"it is no row of a CSV file: {error}"))
            continue
        if len(values) != width:
            unusable.append(UnusableRow(number, f"it has {len(values)} columns, not {width}"))
            continue
        values.append("")
        yield number, [values[place] for place in places]


def _numbered(text: TextIO, name: str) -> Iterator[tuple[int, str]]:
    number = 0
    while line := text.readline(LINE_CHARACTERS_MAX):
        number += 1
        if len(line) == LINE_CHARACTERS_MAX:
            raise InputError(f"{name}: line {number} is longer than {LINE_CHARACTERS_MAX} characters: no CSV file")
        if not line.isspace():
            yield number, line


def _header(line: str, name: str) -> list[str]:
    try:
        header = next(csv.reader((line,), strict=True)) if line else []
    except csv.Error as error:
        raise InputError(f"{name} is not a CSV file: its first line is no row ({error})") from error
    if not header:
        raise InputError(f"{name} is empty")
    return [column.strip().lower() for column in header]


def _places(header: list[str], name: str, columns: Sequence[str]) -> list[int]:
    missing = [column for column in columns if not column.startswith("?") and column not in header]
    if missing:
        raise InputError(
            f"{name} is not a file of flight records: it lacks the columns {', '.join(missing)}"
            if len(missing) > 1
            else f"{name} lacks the column {missing[0]}"
        )
    return [header.index(bare) if (bare := column.lstrip("?")) in header else len(header) for column in columns]
