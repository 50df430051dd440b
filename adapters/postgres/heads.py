"""What is known to be there, versions and names, so that an append need not look each of them up again."""

from collections.abc import Collection, Mapping
from typing import TypeAlias

Anchor: TypeAlias = tuple[int, str]
"""A position, and the command that is recorded there."""


class Heads:
    """The streams appended to last, with the versions that they reached; bounded.

    The anchor is the last event that this store is known to have appended. Where that is still in its place nothing
    before it is gone, for nothing but a restored backup, or a failover to a standby that had not got everything, takes
    events away. So one look at it by each append stands for a look at every version remembered. That no other writer
    has gone beyond one of them is for the unique index to say.
    """

    def __init__(self, streams_max: int) -> None:
        self._generation_max = max(1, streams_max // 2)
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}
        self.anchor: Anchor | None = None
        self.names: frozenset[str] = frozenset()
        """Stored names that are listed; as few as the application has types of events."""

    def get(self, stream: str) -> int | None:
        """The version that is there at least, None where none is known."""
        version = self._young.get(stream)
        return self._old.get(stream) if version is None else version

    def unknown(self, versions: Mapping[str, int]) -> dict[str, int]:
        """Those of the streams' versions, 0 aside, that are not remembered to be the last ones."""
        young = self._young.get
        # As a rule a stream is among the young, where no call is needed to find it.
        return {
            stream: version
            for stream, version in versions.items()
            if version and young(stream) != version and self.get(stream) != version
        }

    def update(self, reached: Mapping[str, int], anchor: Anchor, names: Collection[str] = ()) -> None:
        """After an append; the least recent half of the streams is let go at times."""
        # Of two that were under way together, the earlier one may be heard of last.
        self.anchor = anchor if self.anchor is None else max(anchor, self.anchor)
        if names:
            self.names = self.names.union(names)
        self._young.update(reached)
        if len(self._young) > self._generation_max:
            self._old, self._young = self._young, {}

    def clear(self) -> None:
        self._young, self._old, self.anchor, self.names = {}, {}, None, frozenset()
