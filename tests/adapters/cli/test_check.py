"""Check prints what is to be mended, for people or as JSON, and its exit code says whether there is anything."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from adapters.cli import run
from adapters.cli.check import Checked
from tests.adapters.cli.test_inspecting import DOOR, WHOLE


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def checked(here: Path, source: str, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Checked]:
    (here / "door.py").write_text(source)
    code = run(["check", "--app", "door:APP", "--json", *arguments])
    return code, msgspec.json.decode(capsys.readouterr().out, type=Checked)


def test_the_demo_is_checked_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check"]) == 0
    out = capsys.readouterr().out
    assert (
        out == "adapters.demo:TRAFFIC: nothing to mend in 5 commands, 5 events, 0 upcasters, 4 projections, 4 queries\n"
    )


def test_findings_are_lines_with_their_places_and_an_exit_code(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "door.py").write_text(f"print('noise'){DOOR}\nclass Close(Command): ...\nAPP = {WHOLE}\n")
    assert run(["check", "--app", "door:APP"]) == 1
    captured = capsys.readouterr()
    first, last = captured.out.splitlines()
    assert first.startswith("door.py:")
    assert first.endswith(
        "command Close has no decider: let one of the application's take it, or remove it [command-without-decider]"
    )
    assert last == "door:APP: 1 to mend"
    assert captured.err == "noise\n"


def test_nothing_to_mend_is_json_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(here, f"{DOOR}\nAPP = {WHOLE}\n", capsys) == (0, Checked("door:APP", []))


@pytest.mark.parametrize(
    ("change", "finding_of"),
    [
        (("on_poison=STOP", ""), ("projection-without-poison-policy", "write on_poison=STOP", "BELLS =")),
        (('tag="rang@3"', ""), ("definition", "event Rang has no stored name", "DOOR =")),
        (
            ("deciders=[DOOR]", "deciders=[DOOR, DOOR]"),
            ("definition", "more than one decider of category door", "APP ="),
        ),
        (("handlers=[bell]", "handlers=[bell, bell]"), ("definition", "more than one handler of query", "APP =")),
        (('Drop("rang")', 'Drop("Rang")'), ("definition", "'Rang' is no stored name", "UPCASTERS =")),
    ],
)
def test_what_the_bus_refuses_to_build_is_a_finding_with_its_place(
    here: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], finding_of: tuple[str, str, str]
) -> None:
    rule, message, line = finding_of
    source = f"{DOOR}\nAPP = {WHOLE}\n"
    assert change[0] in source
    code, found = checked(here, source.replace(*change), capsys)
    (finding,) = found.findings
    assert (code, finding.rule) == (1, rule)
    assert message in finding.message
    path, _, number = finding.place.partition(":")
    assert path == "door.py"
    assert (here / path).read_text().splitlines()[int(number) - 1].startswith(line)
    assert run(["check", "--app", "door:APP"]) == 1
    assert "it cannot be built; mend that, there may be more" in capsys.readouterr().out


def test_golden_files_are_checked_where_they_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = checked(here, f"{DOOR}\nAPP = {WHOLE}\n", capsys, "--golden", "golden")
    assert code == 1
    assert [finding.subject for finding in found.findings] == ["rang", "rang@2", "rang@3"]
    assert {finding.rule for finding in found.findings} == {"golden-missing"}


def test_what_is_no_application_at_all_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "door.py").write_text("import gone_for_ever")
    assert run(["check", "--app", "door:APP"]) == 2
    assert "gone_for_ever" in capsys.readouterr().err
