"""Batches become arguments of the procedures that append them: all at once as a rule, entry by entry else."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from adapters.postgres.heads import Heads
from bus.core.names import category_of
from bus.core.stored import Append, Refusal, Stale, Unstorable, entry_fault

Arguments: TypeAlias = tuple[Any, ...]

APPEND_ALL = f"CALL {{schema}}.append_all({', '.join(f'${number}' for number in range(1, 21))}, NULL)"
APPEND_EACH = f"CALL {{schema}}.append_each({', '.join(f'${number}' for number in range(1, 12))}, NULL, NULL)"

_VERSION_MAX = 2**63 - 2
_SEPARATOR = "\x1f"
"""Joins texts for `append_all`; a batch with a text that contains it is appended entry by entry."""

_NOWHERE = -1
"""A version that no stream has."""


class Staged(NamedTuple):
    """A batch as `append_all` takes it."""

    arguments: Arguments
    reached: Mapping[str, int]
    """The versions of its streams afterwards."""
    last_command_id: str | None
    """Of its last event, None where it has none."""
    events: int
    names: Mapping[str, str]
    """Stored names that were not known to be listed, each with a category."""


def all_at_once(batch: Sequence[Append], moment: int, heads: Heads) -> Staged | None:
    """None where the entries do not even fit each other.

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
            prints.append(entry.fingerprint)
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
    texts = _SEPARATOR.join(streams), _SEPARATOR.join(names), _SEPARATOR.join(command_ids)
    if sum([text.count(_SEPARATOR) for text in texts]) != 3 * max(0, len(streams) - 1):
        return None
    places = (texts[0], f"{{{','.join(map(str, versions))}}}", texts[1], payloads, moment)
    arrays = (*places, texts[2], ordinals, prints, *_contexts(batch, each=False))
    new_names = _first_seen(names, streams, heads.names)
    listed = (list(new_names), list(new_names.values())) if new_names else (None, None)
    return Staged(
        (*arrays, *_checks(first, reached, idle, heads), *listed),
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
    return (
        [entry.stream for entry in sound],
        [entry.expected_version if abs(entry.expected_version) <= _VERSION_MAX else _NOWHERE for entry in sound],
        [-1 if index in faults else len(entry.events) for index, entry in enumerate(sound)],
        [event.name for event in events],
        [event.payload for event in events],
        moment,
        [entry.command_id for entry in sound],
        [entry.fingerprint for entry in sound],
        *_contexts(sound, each=True),
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


def _contexts(batch: Sequence[Append], *, each: bool) -> tuple[list[str | None] | None, ...]:
    """Correlation, causation and trace, of each entry or of each event; most batches have none of one kind."""
    found: list[list[str | None] | None] = []
    for values in (
        [entry.correlation_id for entry in batch],
        [entry.causation_id for entry in batch],
        [entry.traceparent for entry in batch],
    ):
        if values.count(None) == len(values):
            found.append(None)
        elif each:
            found.append(values)
        else:
            found.append([value for entry, value in zip(batch, values, strict=True) for _ in entry.events])
    return tuple(found)


def _checks(first: Mapping[str, int], reached: Mapping[str, int], idle: Sequence[Append], heads: Heads) -> Arguments:
    """What must be in the store already, and what must not."""
    known = heads.get
    there = {stream: version for stream, version in first.items() if version and known(stream) != version}
    free = {entry.stream: first[entry.stream] + 1 for entry in idle if reached[entry.stream] == first[entry.stream]}
    command_ids = [entry.command_id for entry in idle] or None
    return (*(heads.anchor or (None, None)), *_pairs(there), *_pairs(free), command_ids)


def _first_seen(names: Sequence[str], streams: Sequence[str], known: frozenset[str]) -> dict[str, str]:
    """The names that are not known, with the category where each comes first."""
    if known.issuperset(names):
        return {}
    found: dict[str, str] = {}
    for name, stream in zip(names, streams, strict=True):
        if name not in known:
            found.setdefault(name, category_of(stream))
    return found


def _pairs(wanted: Mapping[str, int]) -> tuple[list[str] | None, list[int] | None]:
    return (list(wanted), list(wanted.values())) if wanted else (None, None)


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
