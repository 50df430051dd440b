"""Switching: lets another build answer, at a moment when it has seen all that the one before it has."""

import anyio

from bus.core.builds import answering
from bus.core.errors import NotProjected
from bus.core.stored import ViewTable
from bus.read.lineage import Lineage
from bus.read.projector import Projector
from bus.read.services import Services

_ATTEMPTS = 3
"""What is under way when the one that answers is held up is committed still, so a second may be needed."""


async def switch(services: Services, lineage: Lineage, projector: Projector) -> bool:
    """Lets `projector` answer where it is run here and has caught up; false where that is not so, or not yet.

    The one that answers is held up meanwhile, for as long as the view store takes, where it is run here too; where
    another process runs it, the view store alone sees to it that nothing is missed. Raises what the store raises.
    """
    answers = lineage.answers
    if (over := await _answering(services, lineage, projector)) is None:
        return False
    if answers is projector:
        # The first one that this process knows of, in place of a version that it does not know, if any.
        return await services.view_store.switch(projector.table, projector.epoch, over, services.clock.now())
    answers.pause()
    try:
        with anyio.move_on_after(services.limits.switch_pause_s):
            for _ in range(_ATTEMPTS):
                try:
                    await projector.progress.wait(answers.progress.position)
                except NotProjected:
                    return False
                if not projector.is_here:
                    return False
                now = services.clock.now()
                if await services.view_store.switch(projector.table, projector.epoch, over, now):
                    return True
    finally:
        answers.resume()
    return False


async def _answering(services: Services, lineage: Lineage, projector: Projector) -> ViewTable | None:
    """The table that answers now by the view store, or one that is not there; None where it must not be replaced.

    That is one of a later release, whatever this process may be asked.
    """
    name = projector.table.projection
    builds = [one for one in await services.view_store.builds() if one.table.projection == name]
    over = answering([one for one in builds if one.table.place != projector.table.place])
    if over is None:
        return ViewTable(name, 0)
    return over.table if over.table.version <= lineage.projection.version else None
