"""A finding says where: in the user's code, never in the library's."""

import functools
from pathlib import Path

import pytest

from adapters.cli.findings import Finding, place_of, raised_at
from bus import Application, Event


class Here(Event, tag="here"): ...


@functools.cache
def cached() -> None: ...


def test_a_place_is_file_and_line_below_the_current_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    line = Path(__file__).read_text().splitlines().index('class Here(Event, tag="here"): ...') + 1
    assert place_of(Here) == f"test_findings.py:{line}"
    assert place_of(cached) == f"test_findings.py:{line + 3}"
    monkeypatch.chdir(Path(__file__).parents[1] / "sqlite")
    assert place_of(Here) == f"{__file__}:{line}"


def test_what_has_no_source_has_no_place() -> None:
    assert place_of(len) == place_of(type("Made", (), {})) == ""


def test_the_place_of_an_error_is_where_the_user_called() -> None:
    try:
        Application(deciders=5)  # type: ignore[arg-type]
    except TypeError as error:
        path, _, line = raised_at(error).partition(":")
        assert Path(path).name == "test_findings.py"
        assert "deciders=5" in Path(__file__).read_text().splitlines()[int(line) - 1]
    assert raised_at(ValueError("never raised")) == ""


def test_a_finding_is_a_line() -> None:
    assert Finding("rule", "It", "mend it", "a.py:1").printed() == "a.py:1: mend it [rule]"
    assert Finding("rule", "It", "mend it").printed() == "It: mend it [rule]"
