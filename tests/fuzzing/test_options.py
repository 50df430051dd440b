"""Whatever is on the command line: a clean message in one line, an exit code, and no file but those named."""

import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adapters.cli import run
from adapters.cli.failures import Refused
from adapters.cli.stores import event_store, view_store, views_beside
from adapters.flights.files import InputError
from adapters.flights.records import read_flights
from adapters.sqlite import SqliteEventStore
from bus import Unusable
from tests.adapters.flights.rows import ROW, row, text

PIECES: Final = (
    *(
        "sqlite",
        "://",
        ":///",
        "memory:",
        "memory",
        ":",
        "/",
        "//",
        ".",
        "..",
        "~",
        "a",
        "b.db",
        "flights.db",
        "no/such",
    ),
    *(
        "?mode=ro",
        "#x",
        "%2e",
        "%00",
        " ",
        "\n",
        "\t",
        "\r",
        "\x1b[2J",
        "é",
        "😀",
        "\\",
        "'",
        '"',
        ";",
        "*",
        "x" * 300,
        "-",
    ),
    *(
        "file:",
        "sqlite:///",
        "SQLITE:///",
        "postgresql://u:p@h/d",
        "/dev/null",
        "/dev/full",
        "pipe",
        "folder",
        "notes.txt",
    ),
)
URLS: Final = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=6).map("".join)
LIKELY: Final = URLS.map("sqlite:///{}".format)


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Path]:
    """A folder with a pipe, a folder, and a file that is no store, all else removed; again at each call."""

    def made() -> Path:
        folder = tmp_path / "here"
        if folder.exists():
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
        else:
            folder.mkdir()
        os.mkfifo(folder / "pipe")
        (folder / "folder").mkdir()
        (folder / "notes.txt").write_text("no database\n" * 50)
        return folder

    return made


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@given(URLS | LIKELY)
@settings(max_examples=300)
@example("sqlite:///a.db?mode=ro")
@example("sqlite:///a/")
def test_a_url_names_a_store_or_is_refused_in_one_line(url: str) -> None:
    for opened in (event_store, view_store):
        try:
            store = opened(url)
        except Refused as error:
            scheme = url.partition(":")[0]
            # The URL of a server may hold a password, and is not repeated.
            assert repr(url) in str(error) or repr(scheme) in str(error) or f"the {scheme} URL" in str(error)
            assert error.exit_code == 2
        else:
            if url.startswith(("postgresql://", "postgres://")):
                assert ":p@" not in store.url
                continue
            assert url == "memory:" or (url.startswith("sqlite:///") and len(url) > len("sqlite:///"))
            assert store.url == url
            assert view_store(views_beside(url)).url == views_beside(url)
            assert views_beside(url) != url or url == "memory:"


@given(URLS | LIKELY)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("sqlite:///pipe")
@example("sqlite:////dev/null")
@example("sqlite:///folder")
@example("sqlite:///folder/")
@example("sqlite:///a\nb")
@example("sqlite:///\x1b[2J")
@example("sqlite:///" + "x" * 254)
def test_an_export_from_anything_says_what_is_wrong_and_makes_no_file(
    fresh: Callable[[], Path], capfd: pytest.CaptureFixture[str], url: str
) -> None:
    folder = fresh()
    before = files(folder)
    with inside(folder):
        code = run(["export", f"--store={url}"])
    said = capfd.readouterr()
    assert code == 2
    assert said.out == ""
    clean(said.err)
    assert files(folder) == before


@given(URLS | LIKELY)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("sqlite:///pipe")
@example("sqlite:////dev/null")
@example("sqlite:///" + "x" * 252)
def test_a_store_that_is_opened_makes_files_of_its_name_only_and_one_that_is_not_none(
    fresh: Callable[[], Path], url: str
) -> None:
    folder = fresh()
    before = files(folder)
    with inside(folder):
        try:
            store = event_store(url)
        except Refused:
            return
        if not isinstance(store, SqliteEventStore) or ".." in url or url.startswith("sqlite:////"):
            return  # Elsewhere on this machine; that it can be refused is seen above.

        async def open_and_close() -> bool:
            try:
                async with store:
                    return True
            except Unusable:
                return False

        is_opened = anyio.run(open_and_close)
    name = os.path.normpath(url.removeprefix("sqlite:///"))
    made = files(folder) - before
    assert made <= {name, f"{name}.lock"}, made
    assert (name in made) == (is_opened and name not in before)


def clean(said: str) -> None:
    """One line for people, that no terminal obeys."""
    assert said.startswith("doubledecker: ")
    assert said.endswith("\n")
    assert "\n" not in said[:-1]
    assert said[:-1].isprintable(), said
    assert "Traceback" not in said


ARGUMENTS: Final = st.lists(
    st.sampled_from(
        ["--stream", "--after", "--store", "0", "-1", "1e9", str(2**63), str(2**63 - 1), "flight-x", "--", "-h"]
    )
    | st.text(max_size=4),
    max_size=4,
)


@given(ARGUMENTS)
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(["--stream", "\udc80"])
@example(["--after", "9" * 5_000])
def test_whatever_an_export_is_asked_for_it_answers_or_says_why_not(
    fresh: Callable[[], Path], capfd: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    folder = fresh()

    async def make() -> None:
        async with SqliteEventStore(folder / "made.db", synchronous="OFF"):
            pass

    anyio.run(make)
    before = files(folder)
    with inside(folder):
        code = run(["export", "--store=sqlite:///made.db", *arguments])
    said = capfd.readouterr()
    assert code in (0, 2)
    assert "Traceback" not in said.err
    if code == 2:
        clean(said.err)
    else:
        assert said.err == ""
    assert files(folder) <= before | {"made.db-shm", "made.db-wal"}


CELLS: Final = st.sampled_from(
    [
        "",
        "NA",
        "0",
        "-1",
        "2400",
        "2401",
        "9" * 400,
        "1e3",
        "1.",
        "٣",
        "NaN",
        " ",
        '"',
        "\x00",
        "é",
        "1\n2",
        "EWR",
        "2013-01-01T10:00:00Z",
    ]
) | st.text(max_size=5)


@given(st.lists(st.dictionaries(st.sampled_from(sorted(ROW)), CELLS, max_size=3), max_size=6))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_of_flights_are_used_or_reported_by_their_line(tmp_path: Path, changes: list[dict[str, str]]) -> None:
    path = tmp_path / "flights.csv"
    path.write_text(text(*[row(**change) for change in changes]), encoding="utf-8", errors="replace")
    read_or_told(path)


@given(st.binary(max_size=200), st.integers(0, 400), st.booleans())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_to_a_file_of_flights_is_told(tmp_path: Path, damage: bytes, place: int, is_packed: bool) -> None:
    path = tmp_path / "flights.csv"
    whole = text(row(), row(flight="2")).encode()
    if is_packed:
        whole = gzip.compress(whole, mtime=0)
    path.write_bytes(whole[:place] + damage + whole[place + len(damage) :])
    read_or_told(path)


def read_or_told(path: Path) -> None:
    try:
        records = read_flights(path)
    except InputError as error:
        assert str(path) in str(error)
        return
    reported = [one.line for one in records.unusable]
    assert reported == sorted(reported)
    assert all(one.reason for one in records.unusable)
