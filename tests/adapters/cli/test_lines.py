"""Lines are the same however the input is cut, and none is held that is too long."""

import itertools
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cli.lines import LINE_BYTES_MAX, Line, LineSplitter

PIECES = st.sampled_from([b"\n", b"\r\n", b" ", b"a", b"bcd", b"{}", b"\xef\xbb\xbf", b"\x00", b"\xff", b"12345678"])
INPUTS = st.lists(PIECES, max_size=40).map(b"".join) | st.binary(max_size=60)


def split(chunks: Sequence[bytes], bytes_max: int = LINE_BYTES_MAX) -> list[tuple[int, bytes | None]]:
    splitter = LineSplitter(bytes_max)
    lines: list[Line] = []
    for chunk in chunks:
        lines += splitter.feed(chunk)
    lines += splitter.finish()
    return [(line.number, line.text) for line in lines]


def expected(data: bytes, bytes_max: int) -> list[tuple[int, bytes | None]]:
    """The law, for an input that is there as a whole."""
    texts = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    lines = [(number, None if len(text) > bytes_max else text) for number, text in enumerate(texts, 1)]
    return [(number, text) for number, text in lines if text is None or text.strip()]


@given(INPUTS, st.lists(st.integers(0, 60), max_size=12), st.integers(1, 12))
def test_any_cut_gives_the_same_lines(data: bytes, cuts: list[int], bytes_max: int) -> None:
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise(places)]
    assert split(chunks, bytes_max) == expected(data, bytes_max)


@given(INPUTS, st.integers(1, 12))
def test_bytes_that_come_one_by_one_give_the_same_lines(data: bytes, bytes_max: int) -> None:
    assert split([bytes([byte]) for byte in data], bytes_max) == expected(data, bytes_max)


def test_blank_lines_are_counted_and_left_out() -> None:
    assert split([b"\n \t\r\na\n\nb\n\n"]) == [(3, b"a"), (5, b"b")]


def test_the_last_line_needs_no_newline() -> None:
    assert split([b"a\nb"]) == [(1, b"a"), (2, b"b")]
    assert split([b"a\n"]) == [(1, b"a")]
    assert split([b""]) == []


def test_a_byte_order_mark_is_taken_from_the_start_alone() -> None:
    assert split([b"\xef", b"\xbb", b"\xbfa\n\xef\xbb\xbfb"]) == [(1, b"a"), (2, b"\xef\xbb\xbfb")]


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_of_one_mebibyte_is_read_and_a_longer_one_is_not(end: bytes) -> None:
    longest = b"x" * LINE_BYTES_MAX
    assert split([longest + end]) == [(1, longest)]
    assert split([b"\xef\xbb\xbf" + longest + end]) == [(1, longest)]
    assert split([longest + b"x" + end]) == [(1, None)]
    assert split([b"a\n" + longest, b"x" + end]) == [(1, b"a"), (2, None)]


def test_what_follows_a_line_that_is_too_long_is_read() -> None:
    assert split([b"x" * 9, b"x" * 9, b"x\nab\n"], bytes_max=4) == [(1, None), (2, b"ab")]


def test_a_line_without_an_end_is_not_kept() -> None:
    splitter = LineSplitter()
    chunk = b"x" * 65_536
    tracemalloc.start()
    try:
        for _ in range(1_024):
            assert not list(splitter.feed(chunk))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * LINE_BYTES_MAX
    assert [line.text for line in splitter.feed(b"\nab\n")] == [None, b"ab"]
