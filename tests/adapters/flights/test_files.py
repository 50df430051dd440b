"""A file is read line by line, or refused with one clear error."""

import gzip
from pathlib import Path

import pytest

from adapters.flights.files import LINE_CHARACTERS_MAX, InputError, UnusableRow, opened, rows


def read(path: Path, columns: tuple[str, ...] = ("a", "b")) -> tuple[list[tuple[int, list[str]]], list[UnusableRow]]:
    unusable: list[UnusableRow] = []
    with opened(path) as text:
        return list(rows(text, path.name, columns, unusable)), unusable


def test_columns_come_in_the_order_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("b,x,A\n1,2,3\n")
    assert read(path) == ([(2, ["3", "1"])], [])


def test_a_column_that_may_be_missing_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("a\n1\n")
    assert read(path, ("a", "?b")) == ([(2, ["1", ""])], [])
    path.write_text("b,a\n2,1\n")
    assert read(path, ("a", "?b")) == ([(2, ["1", "2"])], [])


@pytest.mark.parametrize("name", ["file.csv.gz", "file.csv"])
def test_a_compressed_file_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert read(path)[0] == [(2, ["1", "2"])]


def test_quotes_byte_order_marks_blank_lines_and_other_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(b'\xef\xbb\xbf"a","b"\r\n\r\n"1,0","2"\r\n')
    assert read(path) == ([(3, ["1,0", "2"])], [])


def test_a_row_of_another_width_is_reported_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("a,b\n1,2\n1\n\n1,2,3\n4,5\n")
    good, unusable = read(path)
    assert good == [(2, ["1", "2"]), (6, ["4", "5"])]
    assert unusable == [UnusableRow(3, "it has 1 columns, not 2"), UnusableRow(5, "it has 3 columns, not 2")]


def test_an_open_quotation_mark_spoils_its_own_row_only(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text('a,b\n"1,2\n3,4\n')
    good, unusable = read(path)
    assert good == [(3, ["3", "4"])]
    assert [row.line for row in unusable] == [2]


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        read(path)
    message = str(refused.value)
    assert path.name in message
    assert "\n" not in message
    return message


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "gone.csv")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "Is a directory" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    assert "is empty" in refusal(path)


def test_a_file_without_the_columns_is_refused_and_they_are_named(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("b,c\n")
    assert refusal(path) == "file.csv lacks the column a"
    path.write_text("c;d\n")
    assert "lacks the columns a, b" in refusal(path)


@pytest.mark.parametrize("content", [b"a,b\n1,\xe9\n", b"\x89PNG\r\n\x1a\n\x00\x00", b"\xff\xfea\x00,\x00"])
def test_a_file_in_another_encoding_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    assert "is not a CSV file in UTF-8" in refusal(path)


def test_a_damaged_compressed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.csv.gz"
    whole = gzip.compress(b"a,b\n" + b"".join(b"%d,2\n" % number for number in range(10_000)))
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    for content in (whole[: len(whole) // 2], bytes(damaged), whole[:12], b"\x1f\x8bgarbage"):
        path.write_bytes(content)
        assert "is damaged" in refusal(path)


def test_a_line_without_an_end_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("a,b\n" + "x" * (2 * LINE_CHARACTERS_MAX))
    assert "line 2 is longer" in refusal(path)
