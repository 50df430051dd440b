"""What people are called stays in the stores: log, spans, metrics and records never say it, whatever goes wrong."""

import json
import logging
from collections.abc import Sequence
from typing import Annotated

import pytest

from bus import (
    SAFE,
    STOP,
    Application,
    Bus,
    Command,
    Decider,
    Event,
    Limits,
    LogFormatter,
    Projection,
    Query,
    Recorded,
    State,
    View,
    Views,
)
from bus.core.errors import ProjectionStopped, QueryError
from tests.adapters.otel.recording import Recording
from tests.support.personal import PLANTED
from tests.support.stores import FakeEventStore, lost_before


class Note(Command):
    id: str
    text: str
    kind: Annotated[str, SAFE] = "plain-kind"


class Noted(Event, tag="noted"):
    text: str
    kind: Annotated[str, SAFE] = "noted-kind"


class Notes(State):
    text: str = ""


class Board(View):
    text: str


class GetBoard(Query[str]):
    text: str


def decide(command: Note, notes: Notes) -> Sequence[Noted]:
    if command.id == "broken":
        raise ValueError(f"cannot note {command.text!r} after {notes.text!r}")
    return [Noted(command.text)]


def evolve(notes: Notes, event: Noted) -> Notes:
    return Notes(event.text)


def project(board: Board | None, recorded: Recorded[Noted], key: str) -> Board:
    if recorded.stream_id == "poison":
        raise ValueError(f"cannot show {recorded.event.text!r}")
    return Board(recorded.event.text)


async def get_board(query: GetBoard, views: Views) -> str:
    raise ValueError(f"cannot find {query.text!r}")


NOTES = Decider(category="note", initial=Notes(), identify=lambda note: note.id, decide=decide, evolve=evolve)
BOARD = Projection(
    name="board", version=1, view=Board, project=project, key=lambda recorded: recorded.stream_id, on_poison=STOP
)
BOARDS = Application(deciders=[NOTES], projections=[BOARD], query_handlers=[get_board])


async def test_nothing_that_goes_wrong_tells_what_messages_hold(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    recording = Recording()
    store = FakeEventStore()
    limits = Limits(projection_backoff_s=0.001, append_backoff_s=0.001)
    with caplog.at_level(logging.DEBUG):
        async with Bus(BOARDS, event_store=store, limits=limits, telemetry=recording.telemetry) as bus:
            store.script.append(lost_before)
            await bus.send_many([Note("a", PLANTED), Note("broken", PLANTED), Note("poison", PLANTED)])
            store.unstorable.add("x")
            await bus.send_many([Note("b", PLANTED)], command_ids=["x"])
            with pytest.raises(QueryError, match="cannot find"):
                await bus.query(GetBoard(PLANTED))
            with pytest.raises(ProjectionStopped):
                await bus.wait_projected(2)
    said = [LogFormatter().format(record) for record in caplog.records]
    told = "\n".join([*said, *[span.to_json() for span in recording.spans], repr(recording.records)])
    told += repr(recording.metrics()) + "".join(capfd.readouterr())
    for word in ("projection stopped", "actor failed and is restarted", "append is uncertain", "process Note"):
        assert word in told
    assert PLANTED not in told
    entries = {entry["event"]: entry for entry in map(json.loads, said)}
    assert entries["actor failed and is restarted"]["fields"] == {"kind": "plain-kind"}
    assert entries["projection stopped"]["fields"] == {"kind": "noted-kind"}
