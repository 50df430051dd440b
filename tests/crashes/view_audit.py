"""View audit: what must hold in views and letters after a crash at any moment; read through the ports alone.

Every event is once in each of its views, or is a letter there, or was discarded on request; the letters of a key are
the last of its events that were projected, and in each view the events are in their order.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bus import REMOVED, Application, Projection, Recorded, View
from bus.core.letters import DeadLetter, Request
from bus.core.stored import table_of
from bus.ports import EventStore, ViewStore

ROWS_MAX = 10_000


class Seen(msgspec.Struct, frozen=True):
    """What was found, if all was as it must be."""

    head: int
    """The last position in the event store."""
    checkpoints: Mapping[str, int]
    """By projection."""
    letters: Sequence[DeadLetter]
    """All of them, by projection, position and key."""
    discarded: frozenset[tuple[str, int]]
    """Key and position of letters that somebody asked to discard, and that are letters no more."""
    requests: Sequence[Request]
    """All that are kept, open ones first."""


async def audit(application: Application, events: EventStore, views: ViewStore) -> Seen:
    """Raises `AssertionError` where something is not as it must be."""
    async with events:
        stored = await events.page(0, ROWS_MAX)
        head = await events.head()
    recorded = [one for event in stored for one in application.schema.recorded(event)]
    checkpoints: dict[str, int] = {}
    letters: list[DeadLetter] = []
    discarded: set[tuple[str, int]] = set()
    async with views:
        await views.prepare([table_of(one) for one in application.view_projections])
        requests = [*await views.requests(is_open=True, limit=99), *await views.requests(is_open=False, limit=99)]
        for projection in application.view_projections:
            table = table_of(projection)
            async with views.snapshot() as reader:
                checkpoint = checkpoints[projection.name] = (await reader.checkpoint(table)).position
                rows = await reader.find(table, {}, None, False, ROWS_MAX)
                kept = await reader.letters(table, 1, ROWS_MAX)
            assert checkpoint <= head, f"{projection.name} has seen what is not recorded"
            found = {key: msgspec.json.decode(payload, type=projection.view) for key, payload in rows}
            given_up = _discarded(projection, kept, requests)
            _check(projection, recorded[:checkpoint], found, kept, given_up)
            letters += kept
            discarded |= given_up
    return Seen(head, checkpoints, letters, frozenset(discarded), requests)


def _discarded(
    projection: Projection[Any, Any], letters: Sequence[DeadLetter], requests: Sequence[Request]
) -> set[tuple[str, int]]:
    kept = {(one.key, one.position) for one in letters}
    mine = [one for one in requests if one.projection == projection.name]
    asked = {(one.key or "", one.position or 0) for one in mine if one.action == "discard"}
    for one in mine:
        if one.answered_at is not None and one.action == "discard":
            assert (one.key, one.position) not in kept, f"said to be discarded, and kept: {one}"
        if one.is_done and one.action == "retry":
            assert not [letter for letter in letters if one.key in (None, letter.key)], f"said to be retried: {one}"
    return asked - kept


def _check(
    projection: Projection[Any, Any],
    recorded: Sequence[Recorded[Any]],
    found: Mapping[str, View],
    letters: Sequence[DeadLetter],
    discarded: set[tuple[str, int]],
) -> None:
    waiting: dict[str, list[int]] = defaultdict(list)
    for letter in letters:
        waiting[letter.key].append(letter.position)
    business: dict[str, list[Recorded[Any]]] = defaultdict(list)
    for one in recorded:
        if isinstance(one.event, projection.events):
            keys = projection.key(one)
            for key in (keys,) if isinstance(keys, str) else keys:
                business[key].append(one)
    assert waiting.keys() <= business.keys(), f"letters of {projection.name} that were not projected yet: {letters}"
    expected: dict[str, View] = {}
    for key, mine in business.items():
        first = waiting[key][0] if waiting[key] else None
        late = [one.position for one in mine if first is not None and one.position >= first]
        late = [position for position in late if (key, position) not in discarded]
        assert waiting[key] == late, f"letters of {key!r} in {projection.name}: {waiting[key]} instead of {late}"
        early = [one for one in mine if one.position not in late and (key, one.position) not in discarded]
        if (view := _folded(projection, early, key)) is not None:
            expected[key] = view
    assert found == expected, f"{projection.name} is not what its events make"


def _folded(projection: Projection[Any, Any], recorded: Sequence[Recorded[Any]], key: str) -> View | None:
    view: Any = None
    for one in recorded:
        after = projection.project(view, one, key)
        view = None if after is REMOVED else after
    found: View | None = view
    return found
