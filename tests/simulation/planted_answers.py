"""Ways to give answers that are older than they may be, each of them a mistake that somebody could make."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from bus.core.letters import After
from bus.core.stored import ViewTable
from bus.ports import ViewReader
from bus.read import answers, watching
from bus.read.answers import Answers
from bus.read.keeping import Answered, Flight, Keeping, Mark, Question
from bus.read.progress import ChangeListener, Keys, Progress
from bus.read.watching import Newest, Watched

Patch = pytest.MonkeyPatch


def keep_an_answer_beyond_its_view(patch: Patch) -> None:
    """A cached answer outlives the view that it was read from."""
    patch.setattr(Keeping, "note", lambda self, projection, changed: None)


def drop_an_answer_when_the_commit_is_known(patch: Patch) -> None:
    """Between a commit and the news of it some are answered from the new view, and others from the kept answer."""

    def deaf(self: Progress, doubter: ChangeListener) -> None:
        pass

    patch.setattr(Progress, "doubt", deaf)


def keep_what_was_read_while_a_commit_was_under_way(patch: Patch) -> None:
    """Nobody looks whether a view that was read was changed meanwhile."""

    def trusting(self: Answers, question: Question, flight: Flight, answered: Answered) -> None:
        if answered.failure is None:
            self._keeping.keep(question, answered)

    patch.setattr(Answers, "_keep", trusting)


def overlook_answers_that_were_found(patch: Patch) -> None:
    """A change drops the answers that were got by its key, and not those that any view might be in."""
    note = Keeping.note

    def narrow(self: Keeping, projection: str, changed: Keys) -> None:
        found = self._readers.get(projection, {}).pop(None, {})
        note(self, projection, changed)
        if found:
            self._readers.setdefault(projection, {})[None] = found

    patch.setattr(Keeping, "note", narrow)


def join_a_run_that_began_before_a_change(patch: Patch) -> None:
    """Whoever asks while the handler is run is given what it comes to, whatever happened since it began."""
    patch.setattr(Flight, "is_untouched", True)


def give_all_the_same_list(patch: Patch) -> None:
    """What one does to an answer another one finds in theirs."""

    def careless(answered: Answered) -> Any:
        if answered.failure is not None:
            raise answered.failure.copy()
        return answered.value

    patch.setattr(answers, "given", careless)
    patch.setattr(watching, "given", careless)


def give_a_kept_answer_whatever_is_waited_for(patch: Patch) -> None:
    """A kept answer is taken to hold what its caller asks for."""
    judge = Answers._judge

    def patient(
        self: Answers, answered: Answered, after: After, looked: set[ViewTable]
    ) -> tuple[str | None, list[ViewTable]]:
        _, unseen = judge(self, answered, after, looked)
        return None, unseen

    patch.setattr(Answers, "_judge", patient)


def give_a_late_joiner_the_last_answer(patch: Patch) -> None:
    """Whoever begins to watch what others watch gets what they got last, which may be older than that."""

    def old(self: Watched, newest: Newest) -> Newest:
        return newest

    patch.setattr(Watched, "_renewed", old)


def overlook_what_is_parked(patch: Patch) -> None:
    """A kept answer is given to who waits for an event that its projection has parked."""
    judge = Answers._judge

    def hasty(
        self: Answers, answered: Answered, after: After, looked: set[ViewTable]
    ) -> tuple[str | None, list[ViewTable]]:
        late, _ = judge(self, answered, after, looked)
        return late, []

    patch.setattr(Answers, "_judge", hasty)


def trust_a_kept_answer_where_others_write(patch: Patch) -> None:
    """A process that does not project, or has lost its lease, gives what it has kept until it hears of a change."""
    current = Answers.current

    def trusting(self: Answers, question: Question) -> Answered | None:
        if question.kept is not None and self._view_store.shared:
            return question.kept
        return current(self, question)

    patch.setattr(Answers, "current", trusting)


def compare_checkpoints_alone(patch: Patch) -> None:
    """A retry of dead letters changes views and leaves the checkpoint where it is."""

    async def short(reader: ViewReader, table: ViewTable) -> Mark:
        return Mark(table, await reader.checkpoint(table), ())

    patch.setattr(answers, "mark_of", short)


ANSWER_BUGS: Iterable[Callable[[Patch], None]] = (
    keep_an_answer_beyond_its_view,
    drop_an_answer_when_the_commit_is_known,
    keep_what_was_read_while_a_commit_was_under_way,
    overlook_answers_that_were_found,
    join_a_run_that_began_before_a_change,
    give_all_the_same_list,
    give_a_kept_answer_whatever_is_waited_for,
    give_a_late_joiner_the_last_answer,
)
PARKED_ANSWER_BUGS: Iterable[Callable[[Patch], None]] = (overlook_what_is_parked,)
"""Found where projections park."""
SHARED_ANSWER_BUGS: Iterable[Callable[[Patch], None]] = (
    trust_a_kept_answer_where_others_write,
    compare_checkpoints_alone,
)
"""Found where several buses share their stores."""
