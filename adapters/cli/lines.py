"""Lines: cuts a stream of bytes into numbered lines, holding no more than one line of limited length."""

from collections.abc import Iterator
from typing import Final

import msgspec

LINE_BYTES_MAX: Final = 1024 * 1024
"""Longest line that is read, without its line end."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Line(msgspec.Struct, frozen=True):
    """A line that is not blank."""

    number: int
    """From 1; blank lines are counted too."""
    text: bytes | None
    """Without its newline; None where it was too long to be kept."""


class LineSplitter:
    """Gives the same lines however the stream is cut into chunks.

    A line ends with a newline or with the input; a carriage return before the newline is white space. A byte order
    mark at the start of the input is no part of the first line.
    """

    def __init__(self, bytes_max: int = LINE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._number = 0
        self._held = bytearray()
        """The beginning of a line whose end has not come; empty while skipping."""
        self._is_too_long = False

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """The lines that this chunk completes; consume them before feeding the next chunk."""
        *complete, rest = chunk.split(b"\n")
        for piece in complete:
            line = self._end(piece)
            if line is not None:
                yield line
        self._hold(rest)

    def finish(self) -> Iterator[Line]:
        """The last line, where the input ends without a newline."""
        if self._held or self._is_too_long:
            line = self._end(b"")
            if line is not None:
                yield line

    def _hold(self, piece: bytes) -> None:
        if self._is_too_long:
            return
        # A byte order mark is not counted, and is taken off only when the line is whole.
        if len(self._held) + len(piece) > self._bytes_max + len(_BYTE_ORDER_MARK):
            self._is_too_long = True
            self._held.clear()
        else:
            self._held += piece

    def _end(self, piece: bytes) -> Line | None:
        self._number += 1
        text = piece
        if self._held:
            text = bytes(self._held) + piece
            self._held.clear()
        if self._number == 1 and text.startswith(_BYTE_ORDER_MARK):
            text = text.removeprefix(_BYTE_ORDER_MARK)
        if self._is_too_long or len(text) > self._bytes_max:
            self._is_too_long = False
            return Line(self._number, None)
        if not text or text.isspace():
            return None
        return Line(self._number, text)
