"""Whatever is in a store that was damaged or written by others: it is read, or told as unreadable."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adapters.cli import run
from adapters.demo import TRAFFIC
from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bus import Bus, BusError, Limits, ProjectionStopped, Receipt, Unreadable
from bus.core.messages import Event, Recorded
from bus.core.schema import Schema
from bus.core.stored import StoredEvent
from domain.flight import FLIGHT, FlightId
from tests.adapters.sqlite.files import fetch, raw
from tests.domain import flights
from tests.fuzzing.documents import documents, values
from tests.support import bank, ledger

ID: Final = flights.ID
NOON: Final = datetime(2013, 1, 1, 12, tzinfo=UTC)
LIMITS: Final = Limits(projection_backoff_s=0.001, projection_attempts_max=2, restart_backoff_s=0.001)

EVENTS: Final[Mapping[str, Schema]] = {
    "flights": TRAFFIC.schema,
    "bank": bank.BANK.schema,
    "ledger": ledger.LEDGER.schema,
}
EXAMPLES: Final[Sequence[Event]] = (
    *FLIGHT.decide(flights.SCHEDULE, FLIGHT.initial),
    *(bank.Opened(), bank.Deposited(1.5), bank.Withdrawn(2), bank.Spoiled("evolve-none"), bank.Noted({"a": [1]})),
    *(ledger.Deposited(7), ledger.Closed(), ledger.NoteWritten()),
)


def told(event: Event) -> dict[str, Any]:
    told_: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(event))
    return told_


def flight_events() -> list[Event]:
    """One of each kind."""
    found: list[Event] = []
    for ending in (flights.LAND, flights.DIVERT, flights.CANCEL):
        state = FLIGHT.initial
        commands = [flights.SCHEDULE, *([] if ending is flights.CANCEL else [flights.DEPART]), ending]
        for command in commands:
            for event in FLIGHT.decide(command, state):
                found.append(event)
                state = FLIGHT.evolve(state, event)
    return list({type(event): event for event in found}.values())


ALL: Final = (*flight_events(), *EXAMPLES[1:])
PAYLOADS: Final = documents([told(event) for event in ALL], ["$type", "type"]) | values() | st.binary(max_size=40)
TEXTS: Final = st.text(max_size=20) | st.sampled_from(
    ["flight-scheduled", "deposited", "", "-", "a-", "\0", "x" * 5_000]
)
MOMENTS: Final = st.datetimes(timezones=st.just(UTC)) | st.sampled_from(
    [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
)


def tag(event: Event) -> str:
    return str(type(event).__struct_config__.tag)


def of(event: Event) -> str:
    """An application that records events of this type."""
    return next(name for name, schema in EVENTS.items() if type(event) in schema.by_type)


NAMED: Final = st.sampled_from(ALL).flatmap(
    lambda event: st.tuples(
        st.just(of(event)),
        st.sampled_from([tag(event)] * 9 + [tag(one) for one in ALL]) | TEXTS,
        documents([told(event)], ["$type", "type"]) | PAYLOADS,
    )
)
"""An application, the stored name of one of its events, most of the time, and its payload, nearly."""


def test_every_event_of_the_applications_is_among_the_examples() -> None:
    declared = {event for schema in EVENTS.values() for event in schema.by_type}
    assert {type(event) for event in ALL} == declared


@given(
    NAMED,
    st.sampled_from(sorted(EVENTS)) | st.none(),
    MOMENTS,
    st.tuples(TEXTS, TEXTS, TEXTS | st.none(), TEXTS | st.none(), TEXTS | st.none()),
    st.binary(max_size=20),
)
@settings(max_examples=1_000)
@example(
    ("flights", tag(ALL[0]), msgspec.json.encode(ALL[0]).replace(b'"UA"', b'"\xff"')),
    *(None, NOON, ("flight-x", "c", None, None, None), b""),
)
def test_a_stored_event_is_read_or_told_as_unreadable(
    named: tuple[str, str, bytes],
    application: str | None,
    recorded_at: datetime,
    texts: tuple[str, str, str | None, str | None, str | None],
    fingerprint: bytes,
) -> None:
    own, name, payload = named
    schema = EVENTS[application or own]
    stream, command_id, correlation_id, causation_id, traceparent = texts
    stored = StoredEvent(
        *(1, stream, 1, name, payload, recorded_at, command_id, fingerprint, correlation_id, causation_id, traceparent)
    )
    try:
        (recorded,) = schema.recorded(stored)
    except Unreadable as error:
        assert (error.position, error.name) == (1, name)
        assert "The event is kept as it is" in str(error)
    else:
        assert isinstance(recorded, Recorded)
        assert isinstance(recorded.event, schema.by_name[name].type)
        # What can be read can be written again, and then reads as the same.
        codec = schema.by_name[name]
        assert codec.decode(codec.encode(recorded.event)) == recorded.event


# ---------------------------------------------------------------- in files

VIEW: Final[Mapping[str, Any]] = {
    **{"flight_id": ID, "carrier": "UA", "number": 1545, "origin": "EWR", "destination": "IAH", "aircraft": None},
    **{"status": "scheduled", "departs_at": "2013-01-01T10:15:00Z", "arrives_at": "2013-01-01T14:19:00Z"},
}
"""A departure as it is kept."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of some flights and the views of the first of them."""
    folder = tmp_path_factory.mktemp("kept")

    async def fill() -> None:
        async with Bus(
            TRAFFIC,
            event_store=SqliteEventStore(folder / "flights.db", synchronous="OFF"),
            view_store=SqliteViewStore(folder / "views.db", synchronous="OFF"),
        ) as bus:
            await bus.send(flights.SCHEDULE)
            await bus.wait_settled()
        async with Bus(TRAFFIC, event_store=SqliteEventStore(folder / "flights.db", synchronous="OFF")) as bus:
            for number in range(1, 5):
                flight = FlightId(f"F-{number}")
                for command in (flights.SCHEDULE, flights.DEPART, flights.LAND):
                    await bus.send(msgspec.structs.replace(command, flight_id=flight), correlation_id="talk")

    anyio.run(fill)
    return folder


@pytest.fixture
def files(kept: Path, tmp_path: Path) -> Callable[[], Path]:
    """Copies the store into one folder, again and again."""

    def copied() -> Path:
        for path in tmp_path.iterdir():
            path.unlink()
        for path in kept.glob("*.db"):
            shutil.copy(path, tmp_path)
        return tmp_path

    return copied


NO_UTF8: Final = b"\xff\xfe\xed\xa0\x80"
EXTREMES: Final = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(
    [-(2**63), 2**63 - 1, -62135596800000001, 253402300800000000]
)
COLUMNS: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    "payload": PAYLOADS,
    "name": TEXTS | st.just(NO_UTF8),
    "command_id": TEXTS | st.just(NO_UTF8),
    "correlation_id": TEXTS | st.none() | st.just(NO_UTF8),
    "causation_id": TEXTS | st.just(NO_UTF8),
    "traceparent": TEXTS | st.just(NO_UTF8),
    "recorded_at": EXTREMES,
    "fingerprint": st.binary(max_size=20),
}


def damage(path: Path, column: str, value: object, position: int) -> bool:
    """Writes past the store; False where the tables themselves do not take it."""
    is_text = column not in ("payload", "fingerprint", "recorded_at")
    cast = "CAST(? AS TEXT)" if is_text and isinstance(value, bytes) else "?"
    with raw(path) as connection:
        try:
            connection.execute(f"UPDATE events SET {column} = {cast} WHERE position = ?", (value, position))
        except sqlite3.IntegrityError:
            return False
    return True


@given(st.data(), st.sampled_from(sorted(COLUMNS)), st.integers(1, 13))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_read_up_to_the_damage_and_its_projections_stop_visibly_there(
    files: Callable[[], Path], data: st.DataObject, column: str, position: int
) -> None:
    folder = files()
    if damage(folder / "flights.db", column, data.draw(COLUMNS[column], label=column), position):
        anyio.run(lived_with, folder)


@pytest.mark.parametrize("column", ["name", "command_id", "correlation_id", "causation_id", "traceparent"])
def test_a_text_that_is_no_utf8_is_a_fault_of_its_event_alone(files: Callable[[], Path], column: str) -> None:
    folder = files()
    assert damage(folder / "flights.db", column, NO_UTF8, 9)
    assert len(anyio.run(lived_with, folder)) == 8


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63)])
def test_a_time_that_is_none_is_a_fault_of_its_event_alone(files: Callable[[], Path], value: int) -> None:
    folder = files()
    assert damage(folder / "flights.db", "recorded_at", value, 9)
    assert len(anyio.run(lived_with, folder)) == 8


async def lived_with(folder: Path) -> list[Recorded[Event]]:
    """What a bus reads from the files; everything else that it is asked for ends too, one way or the other."""
    events: list[Recorded[Event]] = []
    fault: Unreadable | None = None
    with anyio.fail_after(60):
        async with Bus(
            TRAFFIC,
            event_store=SqliteEventStore(folder / "flights.db", synchronous="OFF"),
            view_store=SqliteViewStore(folder / "views.db", synchronous="OFF"),
            limits=LIMITS,
        ) as bus:
            try:
                async for event in bus.events():
                    events.append(event)  # noqa: PERF401  # What came before the fault is wanted.
            except Unreadable as error:
                fault = error
            assert [event.position for event in events] == list(range(1, 1 + len(events)))
            await loaded_and_sent(bus)
            await projected(bus, fault)
            assert bus.statistics().restarts == 0
    assert (fault is None) == (len(events) >= 13)
    return events


async def projected(bus: Bus, fault: Unreadable | None) -> None:
    """The projection of all events stands before the fault, and says so; the others may not be concerned."""
    for name in ("departures", "punctuality"):
        try:
            await bus.wait_projected(13, name, timeout=30)
        except ProjectionStopped as stopped:
            assert fault is None or str(fault) == stopped.reason
        else:
            assert fault is None or fault.position == 1 or name == "punctuality"


async def loaded_and_sent(bus: Bus) -> None:
    """Each flight is loaded or told why not, and answers a command."""
    for flight in (ID, *[FlightId(f"F-{number}") for number in range(1, 5)]):
        try:
            assert (await bus.load(FLIGHT, flight)).version >= 1
        except BusError as error:
            is_told = error.code in ("unreadable", "command-failed") or "the file is damaged" in str(error)
            assert is_told, repr(error)
        (outcome,) = await bus.send_many([msgspec.structs.replace(flights.DEPART, flight_id=flight)])
        codes = ("rejected.", "unreadable", "command-failed")
        assert isinstance(outcome, Receipt) or outcome.code.startswith(codes) or "is damaged" in str(outcome)


@given(PAYLOADS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(b"\xff")
@example(b'"\xff"')
@example(b"[" * 100_000)
@example(b'{"a":\n1}')
@example(b"1e999")
def test_an_export_writes_json_or_says_where_there_is_none(
    files: Callable[[], Path], capfdbinary: pytest.CaptureFixture[bytes], payload: bytes
) -> None:
    folder = files()
    assert damage(folder / "flights.db", "payload", payload, 9)
    code = run(["export", "--store", f"sqlite:///{folder / 'flights.db'}"])
    captured = capfdbinary.readouterr()
    lines = [json.loads(line.decode()) for line in captured.out.splitlines()]
    assert [line["position"] for line in lines] == list(range(1, 1 + len(lines)))
    assert (code, len(lines)) == (0, 13) or code == 1
    assert captured.err.count(b"\n") == code
    assert b"Traceback" not in captured.err
    assert code == 0 or b"the event at position 9" in captured.err


@given(values() | documents([VIEW]))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(json.dumps({**VIEW, "carrier": "U"}).encode().replace(b'"U"', b'"\xff"'))
@example(b"[" * 100_000)
def test_a_damaged_view_is_told_and_stops_its_projection_when_it_is_needed(
    files: Callable[[], Path], payload: bytes
) -> None:
    folder = files()
    (table,) = [
        name
        for (name,) in fetch(folder / "views.db", "SELECT view_table FROM projections WHERE projection = 'departures'")
    ]
    with raw(folder / "views.db") as connection:
        connection.execute(f'UPDATE "{table}" SET payload = ?', (payload,))

    async def ask() -> None:
        with anyio.fail_after(60):
            async with Bus(
                TRAFFIC,
                event_store=SqliteEventStore(folder / "flights.db", synchronous="OFF"),
                view_store=SqliteViewStore(folder / "views.db", synchronous="OFF"),
                limits=LIMITS,
            ) as bus:
                receipt = await bus.send(flights.DEPART)
                try:
                    await bus.wait_projected(receipt, "departures", timeout=30)
                except ProjectionStopped as stopped:
                    assert "does not decode as Departure" in stopped.reason
                assert bus.statistics().restarts == 0

    anyio.run(ask)
