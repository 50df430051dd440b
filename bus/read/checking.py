"""Checking: whether stored views belong to the event store that they are about to follow."""

from bus.core.errors import ViewsMismatch
from bus.core.stored import Checkpoint, ViewTable
from bus.read.services import Services
from bus.runtime.log import log, told


async def check_views(services: Services, table: ViewTable, checkpoint: Checkpoint) -> None:
    """Refuses views that were made from another event store, or from one that has since lost events."""
    if checkpoint.position == 0:
        return
    event_store, view_store = services.event_store, services.view_store
    why = None
    if checkpoint.store_id != event_store.identity:
        why = "they were made from another event store"
    else:
        page = await event_store.page(checkpoint.position - 1, 1)
        if not page:
            why = (
                f"they are at position {checkpoint.position}, but the event store ends at {services.feed.head}: it "
                "was restored from a backup, or its storage has lost what it had recorded since"
            )
        elif (page[0].stream, page[0].version) != (checkpoint.stream, checkpoint.version):
            why = (
                f"the event at position {checkpoint.position} is version {page[0].version} of {page[0].stream!r}, "
                f"but they were made from version {checkpoint.version} of {checkpoint.stream!r}"
            )
    if why is not None:
        raise ViewsMismatch(
            f"the views of projection {table.projection!r} in {view_store.url} do not belong to "
            f"{event_store.url}: {why}. Once that is understood, rebuild them: remove the views (they hold "
            "nothing that the events do not), or raise the projection's version",
            store=view_store.url,
            projection=table.projection,
        )


def say_left_alone(table: ViewTable, error: ViewsMismatch) -> None:
    """Logs that a build that was found while the bus is open is not followed, and how to be rid of it."""
    log.error(
        "views are of another event store and are left alone",
        code=error.code,
        projection=table.projection,
        views=table.title,
        error=told(error),
        drop=f"doubledecker projections drop {table.projection} --version {table.version} --build {table.build}",
    )
