"""Keeping: the answers that are still true, found by their query and by the views that they were read from."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Set
from typing import Any, Final

import msgspec

from bus.core.errors import BusError
from bus.core.fingerprint import canonical
from bus.core.limits import Limits
from bus.core.messages import Query
from bus.core.stored import Checkpoint, ViewTable
from bus.ports import ViewReader
from bus.read.copying import Copier
from bus.read.progress import Keys, together
from bus.runtime.reply import Reply

_LETTERS_MAX: Final = 1_000
"""What a reader gives at most."""

ReadKeys = Mapping[str, Set[str] | None]
"""The keys of views that were read, by projection, in the order of the first reads; None stands for all views."""


class Mark(msgspec.Struct, frozen=True):
    """What is the same only as long as the views of a table are."""

    table: ViewTable
    checkpoint: Checkpoint
    letters: tuple[tuple[int, str], ...]
    """Position and key of each. A retry brings them into views without moving the checkpoint, and removes them."""


async def mark_of(reader: ViewReader, table: ViewTable) -> Mark | None:
    """The mark in this snapshot; None where there are too many letters to be told apart."""
    letters = await reader.letters(table, 0, 2**63 - 1)
    if len(letters) >= _LETTERS_MAX:
        return None
    return Mark(table, await reader.checkpoint(table), tuple([(one.position, one.key) for one in letters]))


class Answered(msgspec.Struct, frozen=True, eq=False):
    """What a run of a handler came to."""

    keys: ReadKeys
    positions: Mapping[str, int]
    """What the views held at least when they were as they are in this answer, by projection."""
    value: Any = None
    copy: Copier | None = None
    """Of the value; None where there is none."""
    failure: BusError | None = None
    """Why there is no value; to be copied before it is raised."""
    marks: tuple[Mark, ...] | None = None
    """Of all tables that were read, where others write to them as well; None where nobody can tell."""

    @property
    def position(self) -> int:
        """What all the views that were read hold at least."""
        read = [self.positions[name] for name in self.keys]
        return min(read, default=max(self.positions.values(), default=0))


def concerns(keys: ReadKeys, projection: str, changed: Keys) -> bool:
    """Whether one of the views that were read is among those that were changed."""
    if projection not in keys:
        return False
    read = keys[projection]
    return read is None or changed is None or not read.isdisjoint(changed)


class Flight(msgspec.Struct, eq=False):
    """A run of a handler that is under way."""

    number: int
    """Of the question's."""
    changed: dict[str, Keys]
    """By projection, the views that were changed since it began, or were being changed: it may show them or not."""
    waiting: dict[Reply, None]
    """Who else is to hear of its end."""

    @property
    def is_untouched(self) -> bool:
        """Whether what it reads is what is committed still, as far as this bus knows."""
        return not self.changed

    def note(self, projection: str, keys: Keys) -> None:
        """A projection changes these views."""
        self.changed[projection] = together(self.changed.get(projection, frozenset()), keys)


class Question(msgspec.Struct, eq=False):
    """All equal queries."""

    query: Query[Any]
    handler: Callable[..., Any]
    key: tuple[type, bytes] | None
    """What equal queries have in common; None for one that is answered by itself."""
    answers_max: int
    """Of those with this handler; 0 where it is not `cached`."""
    users: int = 0
    """Who waits for an answer, or watches."""
    watchers: int = 0
    flight: Flight | None = None
    flights: int = 0
    """How many have begun."""
    kept: Answered | None = None
    """The last answer, until one of the views that it was read from is about to change."""


class Keeping:
    """Questions that are open, or have an answer that is kept."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._questions: dict[tuple[type, bytes], Question] = {}
        self._used: OrderedDict[Question, None] = OrderedDict()
        """Those whose answers are counted, the least recently used first."""
        self._used_of: dict[type, OrderedDict[Question, None]] = {}
        """The same by the type of the query."""
        self._readers: dict[str, dict[str | None, dict[Question, None]]] = {}
        """By projection and key, whose kept answers were read from that view; under None, from any."""

    def open(self, query: Query[Any], handler: Callable[..., Any], answers_max: int) -> Question:
        """The question of this query, until `close`."""
        key = _key_of(query)
        question = None if key is None else self._questions.get(key)
        if question is None or question.query != query:
            # What is encoded alike and is not equal, such as NaN and None, is a question of its own.
            is_new = key is not None and question is None
            question = Question(query, handler, key if is_new else None, answers_max)
            if question.key is not None:
                self._questions[question.key] = question
        question.users += 1
        return question

    def close(self, question: Question) -> None:
        """One of those who opened it has no more use for it."""
        question.users -= 1
        self._forget_unused(question)

    def count(self, kind: type) -> int:
        """How many answers are kept of a type of queries."""
        return len(self._used_of.get(kind, ()))

    def use(self, question: Question) -> None:
        """Its kept answer was used."""
        if question in self._used:
            self._used.move_to_end(question)
            self._used_of[type(question.query)].move_to_end(question)

    def keep(self, question: Question, answered: Answered) -> None:
        """Keeps an answer that is true now, in the place of an earlier one; others may have to go."""
        self.drop(question)
        if question.key is None or not (question.answers_max or question.watchers):
            return
        question.kept = answered
        for name, keys in answered.keys.items():
            by_key = self._readers.setdefault(name, {})
            for key in (None,) if keys is None else keys:
                by_key.setdefault(key, {})[question] = None
        if question.answers_max:
            alike = self._used_of.setdefault(type(question.query), OrderedDict())
            self._used[question] = alike[question] = None
            if len(alike) > question.answers_max:
                self._make_room(next(iter(alike)))
            if len(self._used) > self._limits.cached_answers_max:
                self._make_room(next(iter(self._used)))

    def drop(self, question: Question) -> None:
        """Its answer may not be true any more."""
        answered, question.kept = question.kept, None
        if answered is None:
            return
        for name, keys in answered.keys.items():
            by_key = self._readers[name]
            for key in (None,) if keys is None else keys:
                del by_key[key][question]
                if not by_key[key]:
                    del by_key[key]
        self._uncount(question)
        self._forget_unused(question)

    def note(self, projection: str, changed: Keys) -> None:
        """Drops the answers that were read from views that are changed."""
        by_key = self._readers.get(projection)
        if not by_key:
            return
        touched = list(by_key) if changed is None else [None, *(changed & by_key.keys())]
        for question in {one: None for key in touched for one in by_key.get(key, ())}:
            self.drop(question)

    def _make_room(self, question: Question) -> None:
        if question.watchers:
            self._uncount(question)
        else:
            self.drop(question)

    def _uncount(self, question: Question) -> None:
        if question in self._used:
            del self._used[question]
            del self._used_of[type(question.query)][question]

    def _forget_unused(self, question: Question) -> None:
        if question.users or question.key is None or question in self._used:
            return
        if question.kept is not None:
            self.drop(question)
        else:
            self._questions.pop(question.key, None)


def _key_of(query: Query[Any]) -> tuple[type, bytes] | None:
    try:
        return type(query), canonical(query)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
