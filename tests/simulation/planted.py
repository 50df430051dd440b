"""Planted bugs: each breaks the bus in one place while it is in force, as somebody might have written it."""

from asyncio import current_task
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from bus.core.errors import BusError
from bus.core.messages import Receipt, Recorded
from bus.core.stored import Appended, Checkpoint, Claim, Stale, ViewChanges
from bus.read.projector import Projector
from bus.read.subscription import Subscription
from bus.read.writing import ViewAttempt
from bus.runtime.dispatcher import Dispatcher
from bus.runtime.feed import Feed
from bus.write import directory
from bus.write.commit import Committed
from bus.write.deciding import Deciding, Turn
from bus.write.directory import Actor
from bus.write.envelope import Envelope
from bus.write.intake import Intake
from bus.write.settling import Settling
from bus.write.side import WriteSide

Patch = pytest.MonkeyPatch


def acknowledge_before_commit(patch: Patch) -> None:
    """Receipts are given for what is still on its way to the store."""
    commit = WriteSide._commit

    async def early(self: WriteSide, turn: Turn) -> Any:
        for envelope, outcome, events, version, _, entry in turn.staged:
            if entry >= 0 and outcome is None and not envelope.reply.is_done:
                position = self._settling._feed.head + len(events)
                stream = envelope.actor.stream
                envelope.reply.set_result(Receipt(envelope.command_id, stream, version, position, events))
        return await commit(self, turn)

    patch.setattr(WriteSide, "_commit", early)


def forget_to_reset_the_staged_state(patch: Patch) -> None:
    """After a failed commit the actor goes on with the state that it would have had."""
    failed = Settling.failed

    def forgetful(self: Settling, turn: Turn, failure: Any) -> Any:
        again = failed(self, turn, failure)
        for envelope, _, _, version, state, _ in turn.staged:
            envelope.actor.state, envelope.actor.version = state, version
        return again

    patch.setattr(Settling, "failed", forgetful)


def checkpoint_before_views(patch: Patch) -> None:
    """The checkpoint has a transaction of its own, before that of the views."""
    commit = Projector._commit

    async def in_two(self: Projector, attempt: ViewAttempt) -> None:
        changes = attempt.changes
        if changes.expected != changes.checkpoint:
            alone = ViewChanges(changes.expected, changes.checkpoint, (), ())
            if not await self._view_store.commit(self.table, alone):
                self._lose_ownership()
                return
            changes = msgspec.structs.replace(changes, expected=changes.checkpoint)
        attempt.changes = changes
        await commit(self, attempt)

    patch.setattr(Projector, "_commit", in_two)


def skip_the_hand_over_overlap(patch: Patch) -> None:
    """Who has read a page from the store goes on where the feed begins, wherever that is."""
    accept = Subscription.accept

    def skipping(self: Subscription, last: Checkpoint) -> None:
        if last.position < self._feed._before:
            last = msgspec.structs.replace(last, position=self._feed._before)
        accept(self, last)

    patch.setattr(Subscription, "accept", skipping)


def drop_the_idempotency_check_after_passivation(patch: Patch) -> None:
    """What a recovered actor does not remember it takes for new: it refuses without asking the store."""
    recovered: set[str] = set()
    recover, conclude = WriteSide._recover_now, Deciding._conclude

    async def remembering(self: WriteSide, actors: list[Actor], pause_s: float) -> None:
        await recover(self, actors, pause_s)
        recovered.update([actor.stream for actor in actors])

    def forgetful(  # noqa: PLR0917
        self: Deciding, turn: Turn, envelope: Envelope, outcome: BusError | None, version: int, state: Any
    ) -> bool:
        if envelope.actor.stream not in recovered or version != envelope.actor.version or self._confirm:
            return conclude(self, turn, envelope, outcome, version, state)
        self._settle(envelope, outcome)
        return False

    patch.setattr(WriteSide, "_recover_now", remembering)
    patch.setattr(Deciding, "_conclude", forgetful)


def publish_before_settle(patch: Patch) -> None:
    """The feed has the events before anybody knows what became of their commit."""
    commit = WriteSide._commit

    async def early(self: WriteSide, turn: Turn) -> Any:
        head = self._settling._feed.head
        events = sum(len(events) for _, _, events, _, _, _ in turn.staged)
        if events:
            committed = Committed(Appended(head, {}), self._clock.now(), 1)
            self._settling._publish(head, head + events, turn.staged, committed)
        return await commit(self, turn)

    patch.setattr(WriteSide, "_commit", early)


def lose_the_slot_of_a_cancelled_sender(patch: Patch) -> None:
    """A command that nobody waits for is dropped, and counts as in flight for ever."""

    def drop(self: Intake, envelope: Envelope) -> None:
        envelope.is_open = False
        self._given.pop(envelope.command_id, None)

    patch.setattr(Intake, "drop", drop)


def resume_one_position_late(patch: Patch) -> None:
    """A projector that goes on after a restart leaves out the event that follows its checkpoint."""
    begin = Projector._begin

    def late(self: Projector, claim: Claim) -> None:
        begin(self, claim)
        if claim.checkpoint.position:
            moved = msgspec.structs.replace(claim.checkpoint, position=claim.checkpoint.position + 1)
            self._subscription.accept(moved)

    patch.setattr(Projector, "_begin", late)


def decide_again_without_recovering(patch: Patch) -> None:
    """After a conflict only the version is corrected, and the command decided on the old state."""
    commit = Settling.committed

    def lazy(self: Settling, turn: Turn, committed: Committed | None) -> Any:
        before = {envelope.actor: envelope.actor.state for envelope, *_ in turn.staged}
        again = commit(self, turn, committed)
        refused: Mapping[int, Any] = {} if committed is None else committed.appended.refused
        for envelope, *_, entry in turn.staged:
            refusal = refused.get(entry)
            if isinstance(refusal, Stale):
                envelope.actor.state, envelope.actor.version = before[envelope.actor], refusal.actual
        return again

    patch.setattr(Settling, "committed", lazy)


def answer_a_rejection_early(patch: Patch) -> None:
    """A rejection is answered although the state that it rests on is not committed."""
    conclude = Deciding._conclude

    def early(  # noqa: PLR0917
        self: Deciding, turn: Turn, envelope: Envelope, outcome: BusError | None, version: int, state: Any
    ) -> bool:
        if outcome is None or self._confirm or envelope.given:
            return conclude(self, turn, envelope, outcome, version, state)
        self._settle(envelope, outcome)
        return False

    patch.setattr(Deciding, "_conclude", early)


def passivate_an_actor_with_mail(patch: Patch) -> None:
    """Who is not busy at the moment counts as idle, whatever lies in the mailbox."""
    patch.setattr(directory, "_is_idle", lambda actor: not actor.busy)


def give_one_actor_to_two_turns(patch: Patch) -> None:
    """A turn takes whoever has mail, even those whose last commands another turn is committing."""
    share = Dispatcher._share

    def greedy(self: Dispatcher[Actor]) -> list[Actor]:
        for actor in self.ready:
            actor.busy = False
        return share(self)

    patch.setattr(Dispatcher, "_share", greedy)


def give_back_whom_another_turn_has(patch: Patch) -> None:
    """A turn gives back all that it was given, those too that it left to others and that another turn has by now."""
    run_turn, release = WriteSide._run_turn, WriteSide._release
    given: dict[int, list[Actor]] = {}

    async def noting(self: WriteSide, actors: list[Actor]) -> None:
        given[id(current_task())] = list(actors)
        await run_turn(self, actors)

    def generous(self: WriteSide, turn: Turn, again: Any) -> None:
        for actor in given[id(current_task())]:
            if actor not in self._recovering:
                actor.busy = False
        release(self, turn, again)

    patch.setattr(WriteSide, "_run_turn", noting)
    patch.setattr(WriteSide, "_release", generous)


def publish_in_the_order_of_the_answers(patch: Patch) -> None:
    """The feed takes what is committed for what follows, whichever of two batches is answered first."""
    publish = Feed.publish

    def hasty(self: Feed, before: int, events: Sequence[Recorded[Any]]) -> None:
        publish(self, self._before + len(self._events) if self._before + len(self._events) > before else before, events)

    patch.setattr(Feed, "publish", hasty)


def leave_the_mail_of_who_is_under_way(patch: Patch) -> None:
    """Mail that came while another turn had the actor is forgotten when that turn ends."""
    share = Dispatcher._share

    def forgetful(self: Dispatcher[Actor]) -> list[Actor]:
        actors = share(self)
        self.held.clear()
        return actors

    patch.setattr(Dispatcher, "_share", forgetful)


def look_at_the_deadlines_of_one_turn(patch: Patch) -> None:
    """Who waits for the second of two commits waits beyond every deadline."""
    patch.setattr(WriteSide, "_staged", lambda self: [one[0] for turn in self._turns[:1] for one in turn.staged])


BUGS: Iterable[Callable[[Patch], None]] = (
    acknowledge_before_commit,
    forget_to_reset_the_staged_state,
    checkpoint_before_views,
    skip_the_hand_over_overlap,
    drop_the_idempotency_check_after_passivation,
    publish_before_settle,
    lose_the_slot_of_a_cancelled_sender,
    resume_one_position_late,
    decide_again_without_recovering,
    answer_a_rejection_early,
    passivate_an_actor_with_mail,
    give_one_actor_to_two_turns,
    give_back_whom_another_turn_has,
    publish_in_the_order_of_the_answers,
    leave_the_mail_of_who_is_under_way,
    look_at_the_deadlines_of_one_turn,
)
