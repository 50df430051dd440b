"""Projecting: folds one event into views as a projector would, twice, without a store."""

from collections.abc import Mapping
from typing import Any

from bus.core.errors import ProjectionStopped
from bus.core.limits import Limits
from bus.core.messages import Event, Recorded
from bus.core.projection import Projection
from bus.read.folding import Folded, Folding, Poisoned
from bus.read.progress import Progress
from bus.runtime.reply import EventReply
from bus.testing.differences import lines_of, told


def projected(
    projection: Projection[Any, Any], recorded: Recorded[Event], payloads: Mapping[str, bytes], limits: Limits
) -> Folded:
    """What the event makes of the views that a store holds.

    Raises `ProjectionStopped`, with its cause, where the bus would stop the projection, and `AssertionError` where
    `key` or `project` answers differently when it is asked again.
    """
    folding = Folding(projection, limits)
    try:
        touches = folding.touches([recorded])
        keys, keys_again = [[touch.keys for touch in found] for found in (touches, folding.touches([recorded]))]
        folding.remember(folding.missing(touches), payloads)
        folded, again = folding.fold(touches), folding.fold(touches)
    except Poisoned as poison:
        raise _stopped(projection, poison) from poison.__cause__
    who = f"projection {projection.name!r} at {type(recorded.event).__name__}"
    if lines := lines_of(keys, keys_again, "keys"):
        raise AssertionError(told(f"{who}: key is not pure; asked again, it named others:", lines))
    if lines := lines_of(folded.views, again.views, "views"):
        raise AssertionError(
            told(f"{who}: project is not pure, or changes the view that it is given; the second time it made:", lines)
        )
    return folded


def _stopped(projection: Projection[Any, Any], poison: Poisoned) -> ProjectionStopped:
    """The error of the bus for who waits for this event."""
    progress = Progress(projection, EventReply)
    progress.position = poison.position - 1
    progress.stop(poison.position, str(poison))
    return progress.halted(poison.position)
