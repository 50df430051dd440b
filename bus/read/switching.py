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
    if answers is projector:
        return await _begin(services, projector)
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
                if await services.view_store.switch(projector.table, projector.epoch, answers.table, now):
                    return True
    finally:
        answers.resume()
    return False


async def _begin(services: Services, projector: Projector) -> bool:
    """Lets the first build answer that this process knows of, in place of a version that it does not know, if any."""
    builds = [one for one in await services.view_store.builds() if one.table.projection == projector.table.projection]
    over = answering([one for one in builds if one.table.place != projector.table.place])
    table = ViewTable(projector.table.projection, 0) if over is None else over.table
    return await services.view_store.switch(projector.table, projector.epoch, table, services.clock.now())
