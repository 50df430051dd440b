"""Commands are found by name, and errors become messages."""

from importlib import metadata
from pathlib import Path

import pytest

from adapters.cli import run
from adapters.cli.app import COMMANDS, build, exit_code, in_one_line
from adapters.cli.failures import Failure, Refused
from bus import StoreInUse, StoreUnavailable
from tests.adapters.flights.rows import row, write


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    for name in build():
        if not name.startswith("-"):
            assert name in out
    assert run(["demo", "--help"]) == 0
    assert "--limit" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == metadata.version("doubledecker")


def test_every_command_has_a_place() -> None:
    beside = {"dead-letters", "projections", "why", "export"}
    assert set(COMMANDS) == {"demo", "worker", "simulate", "check", "golden"} | beside


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fly"], "fly"),
        (["demo", "--limit", "0"], "Must be >= 1"),
        (["demo", "--limit", "many"], "many"),
        (["demo", "--pace", "9"], "--pace"),
        (["demo", "file.csv"], "file.csv"),
        (["demo", "--store"], "--store"),
        (["demo", "--input", "\udcff.csv"], "'\\udcff.csv' is not UTF-8"),
        (["demo", "--store", "nonsense"], "'nonsense' is no URL of a store"),
        (["demo", "--store", "sqlite:///no/folder/flights.db"], "no/folder"),
        (["demo", "--store", "sqlite:///notes.txt"], "notes.txt"),
        (["demo", "--store", "memory:", "--views", "sqlite:///notes.txt"], "notes.txt"),
        (["demo", "--store", "memory:", "--input", "gone.csv"], "cannot read gone.csv"),
        (["demo", "--store", "memory:", "--input", "."], "directory"),
        (["demo", "--store", "memory:", "--input", "notes.txt"], "notes.txt is not a file of flight records"),
        (["demo", "--store", "memory:", "--input", "empty.csv"], "empty.csv is empty"),
        (["demo", "--store", "memory:", "--input", "broken.csv.gz"], "broken.csv.gz is damaged"),
    ],
)
def test_what_is_asked_wrongly_gets_a_message_and_exit_code_2(
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no database, no flights\n" * 50)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "broken.csv.gz").write_bytes(b"\x1f\x8b\x08\x00broken")
    before = sorted(tmp_path.iterdir())
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert sorted(path for path in tmp_path.iterdir() if path.suffix != ".lock") == before


def test_views_of_another_store_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(tmp_path / "file.csv", row()))
    views = f"sqlite:///{tmp_path}/views.db"
    for name, code in (("one", 0), ("other", 2)):
        store = f"sqlite:///{tmp_path}/{name}.db"
        assert run(["demo", "--json", "--input", path, "--store", store, "--views", views]) == code
    assert "they were made from another event store" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("no"), 2),
        (Failure("broken"), 1),
        (StoreInUse("busy", store="x"), 2),
        (StoreUnavailable("full", store="x"), 1),
    ],
)
def test_exit_codes_tell_what_was_asked_wrongly_from_what_failed(error: Failure, code: int) -> None:
    assert exit_code(error) == code


def test_a_message_is_one_line_that_no_terminal_obeys() -> None:
    assert in_one_line("a\n b\r\tc") == "a b c"
    assert in_one_line("red \x1b[31m, é, \u202e") == "red \\x1b[31m, é, \\u202e"
