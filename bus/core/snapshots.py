"""Snapshots: when the state of an aggregate is kept, and how it is written and read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from bus.core import annotations
from bus.core.errors import DefinitionError
from bus.core.messages import State
from bus.core.shape import digest_of


@dataclass(frozen=True, kw_only=True)
class Snapshots:
    """Keep the state of an aggregate after so many events, to recover it from there and not from its first event.

    A snapshot is a copy that may be thrown away. Raise `version` when the same events make another state than before:
    after a change of `evolve`, of `fold` or of an upcaster. A change of the state's shape is noticed by itself.
    """

    version: int
    every_events: int

    def __post_init__(self) -> None:
        for name in ("version", "every_events"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise DefinitionError(f"Snapshots({name}=...) must be 1 or more, not {value!r}")


class SnapshotCodec(msgspec.Struct, frozen=True):
    """How the states of one decider are kept."""

    every_events: int
    format: str
    """Version and shape: a snapshot of another format is no snapshot."""
    encode: Callable[[State], bytes]
    """Raises whatever msgspec raises, and ValueError for a state that would be read back differently."""
    decode: Callable[[bytes], State]


def snapshot_codec(policy: Snapshots, states: tuple[type[State], ...], what: str) -> SnapshotCodec:
    """Raises `DefinitionError` for states of which no snapshot can be taken."""
    if len(states) != 1:
        raise DefinitionError(f"{what}: snapshots need one type of state, not {len(states)}")
    annotations.check_encodable(states[0], "state")
    encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode
    decode: Callable[[bytes], State] = msgspec.json.Decoder(states[0]).decode

    def encode_soundly(state: State) -> bytes:
        payload = encode(state)
        if decode(payload) != state:
            raise ValueError("a state would be read back from its snapshot differently")
        return payload

    return SnapshotCodec(policy.every_events, f"{policy.version}:{digest_of(states[0])}", encode_soundly, decode)
