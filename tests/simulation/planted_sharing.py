"""Ways to break what several buses share, each of them a mistake that somebody could make."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import pytest

from bus.core.stored import Append, Appended, Checkpoint, Claim, ViewChanges, ViewTable
from bus.memory import MemoryEventStore, MemoryViewStore
from bus.read.folding import Folding
from bus.read.projector import Projector
from bus.read.writing import ViewAttempt
from bus.write.commit import Committed
from bus.write.deciding import Turn
from bus.write.settling import Settling

Patch = pytest.MonkeyPatch


def look_away_from_one_streams_outcome(patch: Patch) -> None:
    """Of the streams of a batch the last one's outcome is not looked at."""
    commit = Settling.committed

    def hasty(self: Settling, turn: Turn, committed: Committed | None) -> Any:
        if committed is not None and len({entry.stream for entry in turn.entries}) > 1:
            last = turn.entries[-1].stream
            refused = committed.appended.refused
            seen = {index: one for index, one in refused.items() if turn.entries[index].stream != last}
            appended = msgspec.structs.replace(committed.appended, refused=seen)
            committed = msgspec.structs.replace(committed, appended=appended)
        return commit(self, turn, committed)

    patch.setattr(Settling, "committed", hasty)


def compare_the_version_of_a_batchs_first_stream_alone(patch: Patch) -> None:
    """The store takes the other streams' entries at whatever version they are by now."""
    append = MemoryEventStore.append

    async def lenient(self: MemoryEventStore, batch: Sequence[Append], recorded_at: datetime) -> Appended:
        ends = {entry.stream: len(self._streams.get(entry.stream, ())) for entry in batch}
        loose: list[Append] = []
        for entry in batch:
            version = entry.expected_version if entry.stream == batch[0].stream else ends[entry.stream]
            loose.append(msgspec.structs.replace(entry, expected_version=version))
            ends[entry.stream] += len(entry.events)
        return await append(self, loose, recorded_at)

    patch.setattr(MemoryEventStore, "append", lenient)


def commit_views_in_any_epoch(patch: Patch) -> None:
    """The view store compares the checkpoint alone: who was followed by another still writes where that one stands."""
    commit = MemoryViewStore.commit

    async def lenient(self: MemoryViewStore, table: ViewTable, changes: ViewChanges) -> bool:
        return await commit(self, table, msgspec.structs.replace(changes, epoch=self._views(table).epoch))

    patch.setattr(MemoryViewStore, "commit", lenient)


def commit_views_whatever_the_store_holds(patch: Patch) -> None:
    """The view store compares neither epoch nor checkpoint: a commit that was under way for long comes last."""
    commit = MemoryViewStore.commit

    async def lenient(self: MemoryViewStore, table: ViewTable, changes: ViewChanges) -> bool:
        held = self._views(table)
        return await commit(self, table, msgspec.structs.replace(changes, epoch=held.epoch, expected=held.checkpoint))

    patch.setattr(MemoryViewStore, "commit", lenient)


def name_no_epoch(patch: Patch) -> None:
    """A projector commits without saying under which lease."""
    commit = Projector._commit

    async def nameless(self: Projector, attempt: ViewAttempt) -> None:
        changes = msgspec.structs.replace(attempt.changes, epoch=0)
        attempt.changes = changes
        await commit(self, attempt)

    patch.setattr(Projector, "_commit", nameless)


def keep_the_views_of_a_lease_that_was_lost(patch: Patch) -> None:
    """A projector that gets its lease back trusts what it remembers of the views, though others have changed them."""
    begin, forget = Projector._begin, Folding.forget

    def trusting(self: Projector, claim: Claim) -> None:
        patch.setattr(Folding, "forget", lambda folding: None)
        begin(self, claim)
        patch.setattr(Folding, "forget", forget)

    patch.setattr(Projector, "_begin", trusting)


def go_on_where_it_was_after_a_lease_was_lost(patch: Patch) -> None:
    """A projector that gets its lease back takes the store's checkpoint, and reads on where it was itself."""
    begin = Projector._begin

    def unmoved(self: Projector, claim: Claim) -> None:
        last = self._subscription._last
        begin(self, claim)
        if claim.epoch > 1 and last.position:
            self._subscription.accept(last)

    patch.setattr(Projector, "_begin", unmoved)


def renew_a_lease_that_another_has_taken(patch: Patch) -> None:
    """Who has ever held a lease gets it back on asking, and nobody who has it meanwhile is shut out."""
    claim = MemoryViewStore.claim
    held: dict[int, dict[str, str]] = {}

    async def generous(
        self: MemoryViewStore, tables: Sequence[ViewTable], owner: str, lease_s: float
    ) -> Mapping[ViewTable, Claim]:
        earlier = held.setdefault(id(self), {})
        for table in tables:
            views = self._views(table)
            if earlier.get(table.projection) == owner:
                views.owner = owner
            else:
                earlier.setdefault(table.projection, owner)
        return await claim(self, tables, owner, lease_s)

    patch.setattr(MemoryViewStore, "claim", generous)


def give_up_what_another_holds(patch: Patch) -> None:
    """A lease is given up by whoever says so."""
    release = MemoryViewStore.release

    async def careless(self: MemoryViewStore, tables: Sequence[ViewTable], owner: str) -> None:
        for table in tables:
            await release(self, [table], self._views(table).owner)

    patch.setattr(MemoryViewStore, "release", careless)


def take_a_lease_without_a_new_epoch(patch: Patch) -> None:
    """Who takes over a lapsed lease goes on in the old holder's epoch."""
    claim = MemoryViewStore.claim

    async def unnumbered(
        self: MemoryViewStore, tables: Sequence[ViewTable], owner: str, lease_s: float
    ) -> Mapping[ViewTable, Claim]:
        found: dict[ViewTable, Claim] = {}
        for table in tables:
            before = self._views(table).epoch
            answer = (await claim(self, [table], owner, lease_s))[table]
            self._views(table).epoch = max(1, before)
            found[table] = msgspec.structs.replace(answer, epoch=max(1, before))
        return found

    patch.setattr(MemoryViewStore, "claim", unnumbered)


def announce_what_is_not_yet_in_the_views(patch: Patch) -> None:
    """A process that does not project itself takes what is recorded for what is projected."""
    follow = Projector.follow

    def hasty(self: Projector, checkpoint: Checkpoint) -> None:
        ahead = max(checkpoint.position, self._subscription._feed.head)
        follow(self, msgspec.structs.replace(checkpoint, position=ahead))

    patch.setattr(Projector, "follow", hasty)


def take_itself_for_the_holder_until_a_commit_is_refused(patch: Patch) -> None:
    """Who hears that another holds the lease takes over its checkpoint, and goes on all the same."""
    patch.setattr(Projector, "follow", lambda self, checkpoint: self.progress.follow(checkpoint.position))


def take_a_commit_in_doubt_for_done(patch: Patch) -> None:
    """After a commit of views that failed nobody looks whether it has happened."""

    async def sure(self: Projector, attempt: ViewAttempt) -> None:
        self._advance(attempt)

    patch.setattr(Projector, "_make_certain", sure)


SHARED_BUGS: Iterable[Callable[[Patch], None]] = (
    look_away_from_one_streams_outcome,
    compare_the_version_of_a_batchs_first_stream_alone,
    commit_views_in_any_epoch,
    commit_views_whatever_the_store_holds,
    name_no_epoch,
    keep_the_views_of_a_lease_that_was_lost,
    go_on_where_it_was_after_a_lease_was_lost,
    renew_a_lease_that_another_has_taken,
    give_up_what_another_holds,
    take_a_lease_without_a_new_epoch,
    announce_what_is_not_yet_in_the_views,
    take_itself_for_the_holder_until_a_commit_is_refused,
    take_a_commit_in_doubt_for_done,
)
"""Found where several buses share their stores."""
