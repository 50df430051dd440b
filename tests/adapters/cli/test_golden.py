"""Golden files are taken from a store, and say what has changed since."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from adapters.cli import run
from adapters.cli.failures import Failure
from adapters.cli.golden import golden_findings, record
from adapters.sqlite import SqliteEventStore
from bus import STOP, Application, Drop, Event, Projection, Recorded, Upcaster, View
from bus.core.stored import NewEvent
from tests.contracts.entries import NOON, entry


class Seen(View): ...


def application(*events: type[Event], upcasters: Sequence[Any] = ()) -> Application:
    """An application that reads these events."""

    def project(view: Seen | None, recorded: Any, key: str) -> Seen:
        return Seen()

    project.__annotations__["recorded"] = Recorded[_union(events)]  # type: ignore[misc]
    seen = Projection(name="seen", version=1, view=Seen, project=project, key=lambda one: "", on_poison=STOP)
    return Application(projections=[seen], upcasters=upcasters)


def _union(events: Sequence[Any]) -> Any:
    union = events[0]
    for event in events[1:]:
        union |= event
    return union


class Rang(Event, tag="rang"):
    by: str


class Opened(Event, tag="opened"):
    times: int


class RangLouder(Event, tag="rang"):
    by: str
    volume: int = 5


class RangElsewhere(Event, tag="rang"):
    by: str
    door: str


class RangAgain(Event, tag="rang@2"):
    by: str
    door: str


def filled(path: Path, *events: NewEvent) -> str:
    async def fill() -> None:
        async with SqliteEventStore(path) as store:
            await store.append([entry("door-1", 0, "c1", events)], NOON)

    anyio.run(fill)
    return f"sqlite:///{path}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Golden files of `Rang` and `Opened`, from a store."""
    url = filled(
        tmp_path / "first.db",
        NewEvent("rang", b'{"by":"ada"}'),
        NewEvent("painted", b"{}"),
        NewEvent("rang", b'{"by":"eve"}'),
        NewEvent("opened", b'{"times":1}'),
    )
    (tmp_path / "golden").mkdir()
    anyio.run(record, application(Rang, Opened), tmp_path / "golden", url)
    return tmp_path / "golden"


def rules(app: Application, folder: Path) -> list[tuple[str, str]]:
    return [(finding.rule, finding.subject) for finding in golden_findings(app, folder)]


def test_one_event_of_each_name_is_kept_in_the_bytes_that_were_stored(folder: Path) -> None:
    assert (folder / "rang.ndjson").read_bytes() == b'{"by":"ada"}\n'
    assert {path.name for path in folder.iterdir()} == {
        *("rang.ndjson", "rang.shape.json"),
        *("opened.ndjson", "opened.shape.json"),
    }
    assert rules(application(Rang, Opened), folder) == []


def test_bytes_that_are_not_kept_are_missing(folder: Path) -> None:
    more = application(Rang, Opened, upcasters=[Drop("closed")])
    assert rules(more, folder) == [("golden-missing", "closed")]
    assert rules(more, folder / "none") == [("golden-missing", name) for name in ("closed", "opened", "rang")]


def test_a_type_that_is_gone_leaves_its_events_unreadable(folder: Path) -> None:
    assert rules(application(Rang), folder) == [("golden-unreadable", "opened")]
    assert rules(application(Rang, upcasters=[Drop("opened")]), folder) == []


def test_a_shape_that_changed_asks_for_a_new_version_and_is_not_recorded(folder: Path, tmp_path: Path) -> None:
    changed = application(RangElsewhere, Opened)
    unread, finding = golden_findings(changed, folder)
    assert (unread.rule, unread.subject, unread.place) == ("golden-unreadable", "rang", f"{folder}/rang.ndjson:1")
    assert (finding.rule, finding.subject) == ("golden-changed", "rang")
    assert "field 'door' has no default" in finding.message
    assert "tag='rang@2', with an Upcaster from 'rang'" in finding.message
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    url = filled(tmp_path / "second.db", NewEvent("rang", b'{"by":"ada","door":"front"}'))
    with pytest.raises(Failure, match="give it a new version"):
        anyio.run(record, changed, folder, url)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_new_version_keeps_the_old_bytes_and_adds_its_own(folder: Path, tmp_path: Path) -> None:
    changed = application(
        RangAgain, Opened, upcasters=[Upcaster("rang", to="rang@2", up=lambda data: data | {"door": ""})]
    )
    assert rules(changed, folder) == [("golden-missing", "rang@2")]
    url = filled(tmp_path / "second.db", NewEvent("rang@2", b'{"by":"ada","door":"front"}'))
    anyio.run(record, changed, folder, url)
    assert rules(changed, folder) == []
    assert (folder / "rang.ndjson").read_bytes() == b'{"by":"ada"}\n'


def test_a_new_field_with_a_default_is_kept_beside_what_was_written_without_it(folder: Path, tmp_path: Path) -> None:
    changed = application(RangLouder, Opened)
    (finding,) = golden_findings(changed, folder)
    assert (finding.rule, finding.subject) == ("golden-changed", "rang")
    assert "it has a new field with a default" in finding.message
    old, new = NewEvent("rang", b'{"by":"bob"}'), NewEvent("rang", b'{"by":"eve","volume":1}')
    anyio.run(record, changed, folder, filled(tmp_path / "second.db", old, new))
    assert (folder / "rang.ndjson").read_bytes() == b'{"by":"ada"}\n{"by":"eve","volume":1}\n'
    assert rules(changed, folder) == []
    assert rules(application(Rang, Opened), folder) == [("golden-changed", "rang")]


def test_what_the_store_does_not_have_is_told_and_the_rest_is_kept(tmp_path: Path) -> None:
    url = filled(tmp_path / "first.db", NewEvent("rang", b'{"by":"ada"}'), NewEvent("opened", b"not JSON"))
    (tmp_path / "golden").mkdir()
    with pytest.raises(Failure, match="has no event stored as opened with all fields"):
        anyio.run(record, application(Rang, Opened), tmp_path / "golden", url)
    assert rules(application(Rang, Opened), tmp_path / "golden") == [("golden-missing", "opened")]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert run(["golden", str(tmp_path / "file"), "--store", "memory:"]) == 2
    assert "cannot write to" in capsys.readouterr().err


def test_a_shape_is_written_for_people_and_read_by_programs(folder: Path) -> None:
    text = (folder / "rang.shape.json").read_bytes()
    assert text.count(b"\n") > 3
    assert msgspec.json.decode(text)["fields"] == {"by": {"type": "str"}}


def test_the_command_line_keeps_what_a_store_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = filled(tmp_path / "first.db", NewEvent("painted", b"{}"))
    assert run(["golden", str(tmp_path / "new" / "golden"), "--store", url]) == 1
    assert "no event stored as flight-cancelled, flight-departed" in capsys.readouterr().err
    assert run(["golden", str(tmp_path / "golden"), "--store", f"sqlite:///{tmp_path}/none.db"]) == 2
