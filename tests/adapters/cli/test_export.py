"""Export writes what is recorded, unchanged, also while a bus is writing."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from adapters.cli import export, run
from adapters.demo import TRAFFIC
from adapters.flights import commands, read_flights
from adapters.flights.zones import DATA
from adapters.sqlite import SqliteEventStore
from bus import Bus

PLAYED = list(commands(read_flights(DATA / "flights-2013-01-01_07.csv.gz", limit=900).flights))
STREAM = "flight-UA-1545-2013-01-01-EWR"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("export") / "flights.db"

    async def play() -> None:
        async with Bus(TRAFFIC, event_store=SqliteEventStore(path)) as bus:
            await bus.send_many(
                [one.command for one in PLAYED], command_ids=[one.command_id for one in PLAYED], correlation_id="week"
            )

    anyio.run(play)
    return f"sqlite:///{path}"


def exported(capfdbinary: pytest.CaptureFixture[bytes], *arguments: str) -> list[dict[str, Any]]:
    assert run(["export", *arguments]) == 0
    out = capfdbinary.readouterr().out
    assert out == b"" or out.endswith(b"\n")
    return [json.loads(line) for line in out.splitlines()]


def test_all_events_are_written_in_order_page_after_page(store: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert len(PLAYED) > export.PAGE_EVENTS
    lines = exported(capfdbinary, "--store", store)
    assert [line["position"] for line in lines] == list(range(1, len(PLAYED) + 1))
    # Within a batch the bus keeps the order of each aggregate, not that among them.
    assert {line["command_id"] for line in lines} == {one.command_id for one in PLAYED}


def test_an_event_is_written_with_its_place_and_as_it_is_stored(
    store: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    first = exported(capfdbinary, "--store", store)[0]
    assert first.pop("recorded_at").endswith("Z")
    assert first == {
        "position": 1,
        "stream": STREAM,
        "version": 1,
        "name": "flight-scheduled",
        "command_id": "2013-01-01/UA/1545/EWR/schedule",
        "correlation_id": "week",
        "causation_id": None,
        "traceparent": None,
        "event": {
            "$type": "flight-scheduled",
            "carrier": "UA",
            "origin": "EWR",
            "destination": "IAH",
            "aircraft": "N14228",
            "departs_at": "2013-01-01T10:15:00Z",
            "number": 1545,
            "arrives_at": "2013-01-01T14:19:00Z",
        },
    }


def test_the_events_after_a_position_are_written(store: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    lines = exported(capfdbinary, "--store", store, "--after", str(len(PLAYED) - 2))
    assert [line["position"] for line in lines] == [len(PLAYED) - 1, len(PLAYED)]
    assert exported(capfdbinary, "--store", store, "--after", "999999") == []


def test_one_stream_is_written_after_a_version(store: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    lines = exported(capfdbinary, "--store", store, "--stream", STREAM)
    assert [(line["version"], line["name"]) for line in lines] == [
        (1, "flight-scheduled"),
        (2, "flight-departed"),
        (3, "flight-landed"),
    ]
    assert {line["stream"] for line in lines} == {STREAM}
    after = exported(capfdbinary, "--store", store, "--stream", STREAM, "--after", "2")
    assert [line["version"] for line in after] == [3]
    assert exported(capfdbinary, "--store", store, "--stream", "flight-none") == []


def test_a_stream_longer_than_a_page_is_written_whole(
    store: str, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE_EVENTS", 2)
    lines = exported(capfdbinary, "--store", store, "--stream", STREAM)
    assert [line["version"] for line in lines] == [1, 2, 3]


def test_a_store_can_be_exported_while_a_bus_writes_to_it(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "flights.db"

    async def export_meanwhile() -> list[int]:
        found: list[int] = []
        async with Bus(TRAFFIC, event_store=SqliteEventStore(path)) as bus:
            for start in (0, 100):
                await bus.send_many([one.command for one in PLAYED[start : start + 100]])
                lines = await anyio.to_thread.run_sync(exported, capfdbinary, "--store", f"sqlite:///{path}")
                found.append(len(lines))
        return found

    assert anyio.run(export_meanwhile) == [100, 200]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--store", "memory:"], "memory: holds nothing"),
        (["--store", "sqlite:///no/such/folder/flights.db"], "no/such/folder"),
        (["--store", "sqlite:///README.md"], "README.md"),
        (["--store", "nonsense"], "'nonsense' is no URL of a store"),
        (["--store", "memory:", "--after", "-1"], "Must be >= 0"),
        (["--store", "memory:", "--after", str(2**63)], "Must be <= 9223372036854775807"),
        ([], "--store"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("no database\n" * 100)
    assert run(["export", *arguments]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md"]
