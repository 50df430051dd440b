"""Every event ever stored is read for ever, and none changes its shape without a new version.

A change of an event makes the second test fail and say what to do. After a new version, or a field with a default, an
event is recorded and `doubledecker golden tests/golden/demo --store URL` keeps its bytes; what is there already stays.
"""

from pathlib import Path

import pytest

from adapters.cli.findings import Finding
from adapters.cli.golden import golden_findings
from adapters.demo import TRAFFIC
from bus import Application
from tests.support.generations import TODAY
from tests.support.kinds import KINDS, RICH

FOLDER = Path(__file__).parent
KEPT = [
    pytest.param(TRAFFIC, FOLDER / "demo", id="demo"),
    pytest.param(TODAY, FOLDER / "generations", id="generations"),
    pytest.param(KINDS, FOLDER / "kinds", id="kinds"),
]


def found(application: Application, folder: Path, *rules: str) -> list[Finding]:
    return [finding for finding in golden_findings(application, folder) if finding.rule in rules]


@pytest.mark.parametrize(("application", "folder"), KEPT)
def test_every_event_ever_stored_is_read(application: Application, folder: Path) -> None:
    assert not found(application, folder, "golden-unreadable")


@pytest.mark.parametrize(("application", "folder"), KEPT)
def test_no_event_has_changed_without_a_new_version(application: Application, folder: Path) -> None:
    assert not found(application, folder, "golden-changed")


@pytest.mark.parametrize(("application", "folder"), KEPT)
def test_bytes_of_every_event_are_kept(application: Application, folder: Path) -> None:
    assert not found(application, folder, "golden-missing")


def test_there_is_no_folder_that_nobody_reads() -> None:
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert folders == {param.id for param in KEPT}


@pytest.mark.parametrize("name", ["rich", "rich@2"])
def test_every_kind_of_value_is_read_as_it_was_written(name: str) -> None:
    (payload,) = (FOLDER / "kinds" / f"{name}.ndjson").read_bytes().splitlines()
    assert KINDS.schema.read(name, payload) == (RICH,)
