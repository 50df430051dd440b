"""Golden files: the bytes of every stored event ever used, kept in a folder to be read for ever."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec

from adapters.cli.applications import DEMO, load_application
from adapters.cli.failures import Failure, Refused
from adapters.cli.findings import Finding, place_of
from adapters.cli.stores import event_store
from bus import Application
from bus.core.schema import DECODE_ERRORS
from bus.core.shape import Shape, differences, shape_of
from bus.core.upcasting import next_version

PAGE_EVENTS = 2_000


def golden(folder: Path, *, store: str, app: str = DEMO) -> None:
    """Keep stored bytes of each kind of event in a folder, for `check --golden` to read for ever.

    Takes from a store what the folder lacks: an event of each stored name that it has not, or not since the event got a
    new field with a default. What is there stays. Refused where an event has changed its shape otherwise: that asks for
    a new version.

    Parameters
    ----------
    folder
        Where they are kept, such as tests/golden; made if need be.
    store
        An event store that has such events, such as sqlite:///flights.db; it may be in use meanwhile.
    app
        The application, as MODULE:NAME; by default the demo's.
    """
    application = load_application(app)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        anyio.run(record, application, folder, store)
    except OSError as error:
        raise Refused(f"cannot write to {folder}: {error.strerror or error}") from error


async def record(application: Application, folder: Path, store: str) -> None:
    """Fills the folder; raises `Failure` where events change their meaning, and for what the store does not have."""
    for name, changes in _changes(application, folder):
        if differs := differences(*changes):
            raise Failure(f"{name}: {_changed(name, differs)}")
    wanted = dict(_wanted(application, folder))
    async with event_store(store, read_only=True) as opened:
        after = 0
        while wanted and (page := await opened.page(after, PAGE_EVENTS)):
            after = page[-1].position
            for stored in page:
                fields = wanted.get(stored.name)
                if fields is not None and _has(stored.payload, fields):
                    del wanted[stored.name]
                    _add(application, folder, stored.name, stored.payload)
    if wanted:
        raise Failure(
            f"{store} has no event stored as {', '.join(sorted(wanted))} with all fields of today: record such events "
            "first, by a test or by hand"
        )


def golden_findings(application: Application, folder: Path) -> Iterator[Finding]:
    """What of the folder cannot be read as it was, and what is not in it; nothing where all is well."""
    schema = application.schema
    for name, lines in _kept(folder).items():
        for number, payload in enumerate(lines, 1):
            message = f"nothing reads the events stored as {name!r}: add a type, an Upcaster or a Drop"
            if schema.is_readable(name):
                try:
                    schema.read(name, payload)
                except DECODE_ERRORS as error:
                    message = f"it cannot be read any more: {error}"
                else:
                    continue
            yield Finding("golden-unreadable", name, message, f"{_lines(folder, name)}:{number}")
            break
    for name, changes in _changes(application, folder):
        message = f"it has a new field with a default: keep an event that has it, by `doubledecker golden {folder}`"
        if differs := differences(*changes):
            message = _changed(name, differs)
        yield Finding("golden-changed", name, message, place_of(schema.by_name[name].type))
    changed = {name for name, _ in _changes(application, folder)}
    for name in sorted(dict(_wanted(application, folder)).keys() - changed):
        message = f"no bytes of {name!r} are kept: `doubledecker golden {folder} --store URL` takes them from a store"
        place = place_of(schema.by_name[name].type) if name in schema.by_name else ""
        yield Finding("golden-missing", name, message, place)


def _changed(name: str, differs: tuple[str, ...]) -> str:
    return (
        f"the event has changed since its bytes were kept ({', '.join(differs)}), and what is stored means another "
        f"thing: give it a new version, tag={next_version(name)!r}, with an Upcaster from {name!r}"
    )


def _changes(application: Application, folder: Path) -> Iterator[tuple[str, tuple[Shape, Shape]]]:
    """Names of current types that look otherwise than when their bytes were kept, with both shapes."""
    for name, codec in application.schema.by_name.items():
        path = _shape_file(folder, name)
        if path.exists():
            before, now = msgspec.json.decode(path.read_bytes()), shape_of(codec.type)
            if before != now:
                yield name, (before, now)


def _wanted(application: Application, folder: Path) -> Iterator[tuple[str, frozenset[str]]]:
    """Stored names of which an event is lacking, with the fields that it must have."""
    changed = dict(_changes(application, folder))
    for name, codec in application.schema.by_name.items():
        if name in changed or not _lines(folder, name).exists():
            yield name, frozenset(shape_of(codec.type)["fields"])
    for name in application.schema.upcasters:
        if not _lines(folder, name).exists():
            yield name, frozenset()


def _has(payload: bytes, fields: frozenset[str]) -> bool:
    try:
        return fields <= set(msgspec.json.decode(payload, type=dict[str, Any]))
    except DECODE_ERRORS:
        return False


def _add(application: Application, folder: Path, name: str, payload: bytes) -> None:
    with _lines(folder, name).open("ab") as file:
        file.write(payload + b"\n")
    codec = application.schema.by_name.get(name)
    if codec is not None:
        shape = msgspec.json.format(msgspec.json.encode(shape_of(codec.type)))
        _shape_file(folder, name).write_bytes(shape + b"\n")


def _kept(folder: Path) -> dict[str, list[bytes]]:
    """The bytes in the folder by stored name, one payload a line."""
    return {path.name.removesuffix(".ndjson"): path.read_bytes().splitlines() for path in folder.glob("*.ndjson")}


def _lines(folder: Path, name: str) -> Path:
    return folder / f"{name}.ndjson"


def _shape_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.shape.json"
