"""Planted bugs of the read side which do no harm until a process ends between two of its steps."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from adapters.postgres import PostgresViewStore
from adapters.postgres.view_tables import CLAIMS
from bus.core.letters import Request
from bus.core.stored import Checkpoint, ViewChanges, ViewTable
from bus.ports import ViewStore
from bus.read.requests import Requests

Bug = Callable[[ViewStore], None]
"""Spoils this process, whose view store that is."""


def write_the_checkpoint_before_the_rows(store: ViewStore) -> None:
    """In a transaction of its own."""
    commit = store.commit

    async def broken(table: ViewTable, changes: ViewChanges) -> bool:
        alone = replace(changes, put=(), removed=(), parked=(), unparked=())
        rest = replace(changes, expected=changes.checkpoint)
        return await commit(table, alone) and await commit(table, rest)

    _put(store, "commit", broken)


def write_the_rows_before_the_checkpoint(store: ViewStore) -> None:
    commit = store.commit

    async def broken(table: ViewTable, changes: ViewChanges) -> bool:
        rows = replace(changes, checkpoint=changes.expected)
        alone = replace(changes, put=(), removed=(), parked=(), unparked=())
        return await commit(table, rows) and await commit(table, alone)

    _put(store, "commit", broken)


def keep_letters_after_the_checkpoint(store: ViewStore) -> None:
    commit = store.commit

    async def broken(table: ViewTable, changes: ViewChanges) -> bool:
        letters = ViewChanges(changes.checkpoint, changes.checkpoint, (), (), changes.epoch, changes.parked)
        return await commit(table, replace(changes, parked=())) and (not changes.parked or await commit(table, letters))

    _put(store, "commit", broken)


def remove_letters_before_their_view_is_written(store: ViewStore) -> None:
    commit = store.commit

    async def broken(table: ViewTable, changes: ViewChanges) -> bool:
        if changes.unparked and not await commit(table, replace(changes, put=(), removed=())):
            return False
        return await commit(table, replace(changes, unparked=()))

    _put(store, "commit", broken)


def remove_letters_after_their_view_was_written(store: ViewStore) -> None:
    commit = store.commit

    async def broken(table: ViewTable, changes: ViewChanges) -> bool:
        if not await commit(table, replace(changes, unparked=())):
            return False
        return not changes.unparked or await commit(table, replace(changes, put=(), removed=()))

    _put(store, "commit", broken)


def answer_before_it_is_done(store: ViewStore) -> None:
    """Everybody takes the first answer."""
    step = Requests.step

    async def hasty(self: Requests, checkpoint: Checkpoint, epoch: int) -> frozenset[str]:
        request: Request = self._open[0]
        await store.answer(replace(request, answered_at=request.asked_at, is_done=True, answer="done"))
        return await step(self, checkpoint, epoch)

    setattr(Requests, "step", hasty)  # noqa: B010  # A method of the product.


def commit_whatever_others_have_committed(store: ViewStore) -> None:
    """Neither the checkpoint nor the epoch of the lease is compared."""
    assert isinstance(store, PostgresViewStore)
    commit, prepare = store.commit, store.prepare

    async def broken(table: ViewTable, changes: ViewChanges) -> bool:
        while True:
            found = (await prepare([table]))[table]
            rows = await store._fetch(CLAIMS, [store._table(table).key])
            # Refused only where one of the two has changed since.
            if await commit(table, replace(changes, expected=found, epoch=rows[0][2])):
                return True

    _put(store, "commit", broken)


def _put(store: ViewStore, name: str, method: Callable[..., Any]) -> None:
    setattr(store, name, method)


ABOVE: Final[Mapping[str, Bug]] = {
    bug.__name__: bug
    for bug in (
        write_the_checkpoint_before_the_rows,
        write_the_rows_before_the_checkpoint,
        keep_letters_after_the_checkpoint,
        remove_letters_before_their_view_is_written,
        remove_letters_after_their_view_was_written,
        answer_before_it_is_done,
    )
}
"""Those that call what is watched, so that a process may end between two of their calls."""

BELOW: Final[Mapping[str, Bug]] = {"commit_whatever_others_have_committed": commit_whatever_others_have_committed}
"""Those in what is watched."""
