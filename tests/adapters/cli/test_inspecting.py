"""What modules define and an application does not use is found, and nothing else."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.cli.applications import load_application
from adapters.cli.findings import Finding
from adapters.cli.inspecting import inspected
from adapters.demo import TRAFFIC

DOOR = '''
from collections.abc import Sequence
from bus import *

class Ring(Command):
    door: str

class OfDoor(Event):
    """A base, which needs no name."""

class Rang(OfDoor, tag="rang@3"): ...

class Door(State): ...

def decide(command: Ring, door: Door) -> Sequence[Rang]: ...
def evolve(door: Door, event: Rang) -> Door: ...

DOOR = Decider(category="door", initial=Door(), identify=lambda command: command.door, decide=decide, evolve=evolve)

class Bell(View): ...

def project(view: Bell | None, recorded: Recorded[Rang], key: str) -> Bell: ...

BELLS = Projection(name="bells", version=1, view=Bell, project=project, key=lambda one: one.stream_id, on_poison=STOP)

class GetBell(Query[Bell | None]): ...

async def bell(query: GetBell, views: Views) -> Bell | None: ...

UPCASTERS = [Drop("rang"), Drop("rang@2")]
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def found(here: Path, application: str, more: str = "", **modules: str) -> list[Finding]:
    for name, source in {"door": f"{DOOR}{more}\nAPP = {application}\n", **modules}.items():
        (here / f"{name}.py").write_text(source)
    return list(inspected(load_application("door:APP"), "door"))


WHOLE = "Application(deciders=[DOOR], projections=[BELLS], query_handlers=[bell], upcasters=UPCASTERS)"


def test_the_demo_has_nothing_to_mend() -> None:
    assert list(inspected(TRAFFIC, "adapters.demo")) == []


def test_a_whole_application_has_nothing_to_mend(here: Path) -> None:
    assert found(here, WHOLE) == []


@pytest.mark.parametrize(
    ("application", "more", "rules"),
    [
        (WHOLE, "class Close(Command): ...", [("command-without-decider", "Close")]),
        (WHOLE, 'class Closed(Event, tag="closed"): ...', [("event-unread", "Closed")]),
        (WHOLE, "class Closed(Event): ...", [("event-without-name", "Closed")]),
        (WHOLE, "class GetBells(Query[list[Bell]]): ...", [("query-without-handler", "GetBells")]),
        (
            "Application(projections=[BELLS], query_handlers=[bell], upcasters=UPCASTERS)",
            "",
            [("command-without-decider", "Ring"), ("decider-unused", "door")],
        ),
        (
            "Application(deciders=[DOOR], upcasters=UPCASTERS)",
            "",
            [("query-without-handler", "GetBell"), ("projection-unused", "bells")],
        ),
        (WHOLE.replace("UPCASTERS", "UPCASTERS[:1]"), "", [("upcaster-missing", "rang@2")]),
    ],
)
def test_what_is_lacking_or_not_used_is_found(here: Path, application: str, more: str, rules: list[Any]) -> None:
    findings = found(here, application, more)
    assert [(finding.rule, finding.subject) for finding in findings] == rules
    for finding in findings:
        path, _, line = finding.place.partition(":")
        assert path == "door.py"
        assert Path(path).read_text().splitlines()[int(line) - 1].startswith(("class ", "def "))


def test_what_another_application_of_the_modules_uses_is_its_own(here: Path) -> None:
    # The application with the projection is the other's, and it stands there all the same.
    assert found(here, "Application(deciders=[DOOR], upcasters=UPCASTERS)", f"\nOTHER = {WHOLE}") == []


def test_messages_made_inside_functions_are_nobodys(here: Path) -> None:
    assert found(here, WHOLE, "def make():\n    class Inner(Command): ...\n    return Inner\nINNER = make()") == []


def test_modules_of_its_parts_are_looked_at_and_no_others(here: Path) -> None:
    parts = "from bus import Command\nimport other\nclass Close(Command): ...\n"
    (here / "other.py").write_text("from bus import Command\nclass Elsewhere(Command): ...\n")
    findings = found(here, "door_parts.APP", "import door_parts", door_parts=f"{parts}{DOOR}\nAPP = {WHOLE}\n")
    assert ("command-without-decider", "Close") in [(finding.rule, finding.subject) for finding in findings]
    assert "Elsewhere" not in [finding.subject for finding in findings]


BATCHES = """
from bus import BatchProjection, Transaction

async def write(batch: Sequence[Recorded[Rang]], transaction: Transaction) -> None: ...

async def make(transaction: Transaction) -> None: ...

ROWS = BatchProjection(name="rows", version=1, handle=write, setup=make, answers=(GetBell,))
"""


def test_a_batch_projection_is_looked_at_as_others_are(here: Path) -> None:
    used = WHOLE.replace("[BELLS]", "[BELLS, ROWS]")
    assert found(here, used, BATCHES) == []


def test_a_batch_projection_that_is_in_no_application_is_found(here: Path) -> None:
    (unused,) = found(here, WHOLE, BATCHES)
    assert (unused.rule, unused.subject) == ("projection-unused", "rows")
    path, _, line = unused.place.partition(":")
    assert Path(path).read_text().splitlines()[int(line) - 1].startswith("async def write")
