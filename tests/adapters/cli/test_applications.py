"""`MODULE:NAME` becomes an application, or a message that says what is wrong with it."""

import sys
from pathlib import Path

import pytest

from adapters.cli.applications import DEMO, load_application
from adapters.cli.failures import Refused
from adapters.demo import TRAFFIC
from bus import Application


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_the_demo_is_the_default() -> None:
    assert load_application(DEMO) is TRAFFIC


def test_modules_of_the_current_directory_are_found(here: Path) -> None:
    package = here / "found_here"
    package.mkdir()
    (package / "inner.py").write_text("from bus import Application\nclass Apps:\n    ONE = Application()\n")
    assert isinstance(load_application("found_here.inner:Apps.ONE"), Application)


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("traffic", None, "write MODULE:NAME"),
        ("traffic:", None, "write MODULE:NAME"),
        (":TRAFFIC", None, "write MODULE:NAME"),
        ("traffic.py:TRAFFIC/x", None, "there is no module traffic.py"),
        ("./traffic:TRAFFIC", None, "write MODULE:NAME"),
        ("nowhere.to.be.found:X", None, "there is no module nowhere.to.be.found"),
        ("missing_name:X", "from bus import Application\nA = B = Application()", "no X: its applications are A, B"),
        ("missing_all:X", "", "no X: it has no Application"),
        ("no_app:make", "def make(): ...", "make, which is of type function and no Application"),
        ("broken_import:X", "import gone_for_ever", "No module named 'gone_for_ever'"),
        ("broken_syntax:X", "X = (", "broken_syntax.py:1"),
        ("broken_code:X", "\n\n1 / 0", "ZeroDivisionError: division by zero"),
        ("broken_code_too:X", "\n\n1 / 0", "broken_code_too.py:3"),
        ("leaving:X", "raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_what_is_no_application_gets_a_message(here: Path, path: str, source: str | None, expected: str) -> None:
    if source is not None:
        (here / f"{path.partition(':')[0]}.py").write_text(source)
    with pytest.raises(Refused) as raised:
        load_application(path)
    assert expected in str(raised.value)


def test_a_demo_that_is_not_installed_is_told_from_other_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adapters.demo", None)
    with pytest.raises(Refused, match="the demo is not part of the installed package"):
        load_application(DEMO)
