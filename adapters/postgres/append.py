"""Batches become arguments of the procedures that append them: all at once as a rule, entry by entry else."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from adapters.postgres.heads import Heads
from bus.core.fingerprint import fingerprint_or_none
from bus.core.names import category_of
from bus.core.stored import Append, Refusal, Stale, Unstorable, entry_fault

Arguments: TypeAlias = tuple[Any, ...]

APPEND_BATCH: Final = f"CALL {{schema}}.append_batch({', '.join(f'${number}' for number in range(1, 13))}, NULL)"
APPEND_EACH: Final = f"CALL {{schema}}.append_each({', '.join(f'${number}' for number in range(1, 12))}, NULL, NULL)"

_VERSION_MAX: Final = 2**63 - 2
_SEPARATOR: Final = "\x1f"
"""Joins texts for `append_batch`; a batch with a text that contains it is appended entry by entry."""

_NOWHERE: Final = -1
"""A version that no stream has."""

_encode = msgspec.json.Encoder().encode


class Staged(NamedTuple):
    """A batch as `append_batch` takes it."""

    arguments: Arguments
    reached: Mapping[str, int]
    """The versions of its streams afterwards."""
    last_command_id: str | None
    """Of its last event, None where it has none."""
    events: int
    names: Mapping[str, str]
    """Stored names that were not known to be listed, each with a category."""


def all_at_once(batch: Sequence[Append], moment: int, heads: Heads) -> Staged | None:
    """None where the entries do not even fit each other, or cannot be told in one piece.

    The first version expected of a stream must be there, and no later one may be. Where the stream gets events, the
    unique index sees to the second.
    """
    streams: list[str] = []
    versions: list[int] = []
    names: list[str] = []
    payloads: list[bytes] = []
    command_ids: list[str] = []
    ordinals: list[int] | None = None
    prints: list[bytes] = []
    first: dict[str, int] = {}
    reached: dict[str, int] = {}
    idle: list[Append] = []
    for entry in batch:
        stream, expected, events = entry.stream, entry.expected_version, entry.events
        version = reached.get(stream)
        if version is None:
            if not 0 <= expected <= _VERSION_MAX:
                return None
            first[stream] = expected
        elif version != expected:
            return None
        if len(events) == 1:
            # The rule.
            (event,) = events
            streams.append(stream)
            versions.append(expected + 1)
            names.append(event.name)
            payloads.append(event.payload)
            command_ids.append(entry.command_id)
            prints.append(fingerprint_or_none(entry.command))
            if ordinals is not None:
                ordinals.append(0)
        elif not events:
            idle.append(entry)
        else:
            if ordinals is None:
                ordinals = [0] * len(streams)
            size = len(events)
            streams += [stream] * size
            versions += range(expected + 1, expected + size + 1)
            names += [event.name for event in events]
            payloads += [event.payload for event in events]
            command_ids += [entry.command_id] * size
            ordinals += range(size)
            prints += [entry.fingerprint] * size
        reached[stream] = expected + len(events)
    new_names = _first_seen(names, streams, heads.names)
    rest = {**_contexts(batch, each=False), **_checks(first, reached, idle, heads)}
    if ordinals is not None:
        rest["command_ordinals"] = ordinals
    if new_names:
        rest["new_names"], rest["new_categories"] = list(new_names), list(new_names.values())
    columns = _columns((streams, versions, names, payloads, command_ids, prints), rest)
    if columns is None:
        return None
    return Staged(
        (*columns.events, moment, *columns.commands, *(heads.anchor or (None, None)), columns.rest),
        reached,
        command_ids[-1] if command_ids else None,
        len(streams),
        new_names,
    )


def each_by_itself(batch: Sequence[Append], moment: int) -> tuple[Arguments, Mapping[int, Unstorable]]:
    """What `append_each` takes, and what is refused here: texts and values that are of no use to any database."""
    faults: dict[int, Unstorable] = {}
    sound: list[Append] = []
    for index, entry in enumerate(batch):
        fault = _type_fault(entry) or entry_fault(entry)
        if fault is not None:
            faults[index] = Unstorable(fault)
            stream = entry.stream if entry_fault(Append(entry.stream, 0, (), "", b"")) is None else ""
            entry = Append(stream, 0, (), "", b"")  # noqa: PLW2901
        sound.append(entry)
    events = [event for entry in sound for event in entry.events]
    contexts = _contexts(sound, each=True)
    return (
        [entry.stream for entry in sound],
        [entry.expected_version if abs(entry.expected_version) <= _VERSION_MAX else _NOWHERE for entry in sound],
        [-1 if index in faults else len(entry.events) for index, entry in enumerate(sound)],
        [event.name for event in events],
        [event.payload for event in events],
        moment,
        [entry.command_id for entry in sound],
        [entry.fingerprint for entry in sound],
        *[contexts.get(kind) for kind in ("correlation_ids", "causation_ids", "traceparents")],
    ), faults


def refusal_of(told: str) -> Refusal | None:
    """What `append_each` says of an entry, None where the command is recorded already."""
    kind, _, rest = told.partition(" ")
    match kind:
        case "recorded":
            return None
        case "stale":
            return Stale(int(rest))
        case _:
            return Unstorable(f"PostgreSQL cannot hold it: {rest}")


class _Columns(NamedTuple):
    """Those of all events, each in one piece."""

    events: tuple[str, str, str, str, bytes, str]
    """Places, streams, versions, names, payloads and where each of these begins."""
    commands: tuple[str, bytes | None]
    """Ids and fingerprints, None for the second where they are of several lengths and therefore in the rest."""
    rest: str | None
    """All that a batch seldom has, as JSON."""


def _columns(
    events: tuple[list[str], list[int], list[str], list[bytes], list[str], list[bytes]],
    rest: dict[str, Sequence[object]],
) -> _Columns | None:
    """None where they could not be taken apart again, or where something is not what its type says."""
    streams, versions, names, payloads, command_ids, prints = events
    size = len(streams)
    try:
        texts = [_SEPARATOR.join(column) for column in (streams, names, command_ids)]
        if sum([text.count(_SEPARATOR) for text in texts]) != 3 * max(0, size - 1):
            return None
        fingerprints = None
        if len(set(map(len, prints))) <= 1:
            fingerprints = b"".join(prints)
        else:
            rest["fingerprints"] = [one.hex() for one in prints]
        bounds = _array(accumulate(map(len, payloads), initial=1))
        return _Columns(
            (_places(size), texts[0], _array(versions), texts[1], b"".join(payloads), bounds),
            (texts[2], fingerprints),
            _encode(rest).decode() if rest else None,
        )
    except (TypeError, ValueError, AttributeError):
        # Entry by entry it is told whose that is.
        return None


@lru_cache(maxsize=4_096)
def _places(size: int) -> str:
    return _array(range(1, size + 1))


def _array(numbers: Iterable[int]) -> str:
    # A list is written in half the time that its members take one by one.
    return f"{{{str(list(numbers))[1:-1]}}}"


def _contexts(batch: Sequence[Append], *, each: bool) -> dict[str, Sequence[object]]:
    """Correlation, causation and trace, of each entry or of each event, without those kinds of which there are none."""
    found: dict[str, Sequence[object]] = {}
    for kind, values in (
        ("correlation_ids", [entry.correlation_id for entry in batch]),
        ("causation_ids", [entry.causation_id for entry in batch]),
        ("traceparents", [entry.traceparent for entry in batch]),
    ):
        if values.count(None) == len(values):
            continue
        found[kind] = (
            values if each else [value for entry, value in zip(batch, values, strict=True) for _ in entry.events]
        )
    return found


def _checks(
    first: Mapping[str, int], reached: Mapping[str, int], idle: Sequence[Append], heads: Heads
) -> dict[str, Sequence[object]]:
    """What must be in the store already, and what must not."""
    found: dict[str, Sequence[object]] = {}
    there = heads.unknown(first)
    if there:
        found["there_streams"], found["there_versions"] = list(there), list(there.values())
    if idle:
        free = {entry.stream: first[entry.stream] + 1 for entry in idle if reached[entry.stream] == first[entry.stream]}
        found["free_streams"], found["free_versions"] = list(free), list(free.values())
        found["free_command_ids"] = [entry.command_id for entry in idle]
    return found


def _first_seen(names: Sequence[str], streams: Sequence[str], known: frozenset[str]) -> dict[str, str]:
    """The names that are not known, with the category where each comes first."""
    if known.issuperset(names):
        return {}
    found: dict[str, str] = {}
    for name, stream in zip(names, streams, strict=True):
        if name not in known:
            found.setdefault(name, category_of(stream))
    return found


def _type_fault(entry: Append) -> str | None:
    """What is not of its declared type; only code without a type checker makes such."""
    texts: tuple[object, ...] = (entry.stream, entry.command_id, *[event.name for event in entry.events])
    data: tuple[object, ...] = (entry.fingerprint, *[event.payload for event in entry.events])
    maybe: tuple[object, ...] = (entry.correlation_id, entry.causation_id, entry.traceparent)
    for value in (*texts, *data, *maybe):
        if not isinstance(value, (str, bytes, type(None))):
            return f"a value of type {type(value).__name__}"
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(one, bytes) for one in data):
        return "a text for bytes, or bytes for a text"
    if not all(isinstance(one, (str, type(None))) for one in maybe):
        return "bytes for a text"
    return None
