"""Watching: a query answered again each time the views it read have changed, once for all who watch it."""

import math
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import anyio
import msgspec

from bus.core.errors import BusClosed, BusError
from bus.core.limits import Limits
from bus.core.messages import Answer, Query
from bus.ports import Clock
from bus.read.answers import Answers, given
from bus.read.keeping import Answered, Question, ReadKeys, concerns
from bus.read.progress import Keys, Progress, together
from bus.read.queries import Queries
from bus.read.services import Services
from bus.runtime.reply import Reply
from bus.runtime.signal import Signal
from bus.runtime.supervisor import Supervisor

R = TypeVar("R")


class Watching:
    """All that is watched, each different query by a task of its own, whoever watches it."""

    def __init__(
        self,
        services: Services,
        queries: Queries,
        answers: Answers,
        progress: Mapping[str, Progress],
        supervisor: Supervisor,
    ) -> None:
        self._queries = queries
        self._answers = answers
        self._progress = progress
        self._supervisor = supervisor
        self._new_reply = services.new_reply
        self._clock = services.clock
        self._limits = services.limits
        self._watched: dict[Question, Watched] = {}

    @property
    def queries(self) -> int:
        """How many different ones are watched."""
        return len(self._watched)

    @property
    def readers(self) -> int:
        """How many watch."""
        return sum([question.watchers for question in self._watched])

    async def watch(self, query: Query[R]) -> AsyncGenerator[Answer[R]]:
        """See `Bus.watch`."""
        first: Newest | None = None
        while first is None:
            question, watched = self._join(query)
            try:
                first = await watched.first()
                newest = first
                while newest is not None:
                    yield Answer(given(newest.answered), newest.answered.position)
                    newest = await watched.after(newest)
            finally:
                self._leave(question, watched)

    def close(self) -> None:
        """Tells all who watch that nothing more will come."""
        for watched in list(self._watched.values()):
            watched.end(BusClosed("the bus was closed, and nothing can be watched any more"))

    def _join(self, query: Query[Any]) -> tuple[Question, "Watched"]:
        question = self._answers.open(query)
        question.watchers += 1
        watched = self._watched.get(question)
        if watched is None or watched.is_over:
            watched = self._watched[question] = Watched(
                question,
                self._queries,
                self._answers,
                self._progress,
                new_reply=self._new_reply,
                clock=self._clock,
                limits=self._limits,
            )
            self._supervisor.start(f"watch {type(query).__qualname__}", watched.run)
        watched.readers += 1
        return question, watched

    def _leave(self, question: Question, watched: "Watched") -> None:
        watched.leave()
        if not watched.readers and self._watched.get(question) is watched:
            del self._watched[question]
        question.watchers -= 1
        self._answers.close(question)


class Watcher:
    """Collects changes, also those that happen while the answer is being read."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self._changed: dict[str, Keys] = {}
        self._read: ReadKeys | None = None
        """What the last answer was read from; None while one is being read."""
        self.is_due = False
        """Whether something happened that the last answer does not show."""

    def note(self, projection: str, keys: Keys) -> None:
        """A projection committed changes of these keys, or of unknown ones, or stopped."""
        if self._read is None:
            self._changed[projection] = together(self._changed.get(projection, frozenset()), keys)
        elif not self.is_due and concerns(self._read, projection, keys):
            self._ask_again()

    def begin(self) -> None:
        """From now on an answer is being read, and every change may concern it."""
        self.is_due = False
        self._read = None
        self._changed = {}

    def end(self, read: ReadKeys) -> None:
        """The answer was read from these views."""
        self._read = read
        if any(concerns(read, projection, keys) for projection, keys in self._changed.items()):
            self._ask_again()

    def _ask_again(self) -> None:
        self.is_due = True
        self._signal.set()


class Newest(msgspec.Struct, frozen=True, eq=False):
    """The last answer of a watched query."""

    answered: Answered
    number: int
    """Goes up where the value is another one than before."""
    round: int
    began: float
    """When that round did, in seconds of the loop's clock."""


class Watched:
    """One query and all who watch it; one task answers it, in rounds, for as long as anybody does."""

    def __init__(
        self,
        question: Question,
        queries: Queries,
        answers: Answers,
        progress: Mapping[str, Progress],
        *,
        new_reply: Callable[[], Reply],
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._question = question
        self._queries = queries
        self._answers = answers
        self._progress = progress
        self._new_reply = new_reply
        self._clock = clock
        self._limits = limits
        self._signal = Signal(new_reply)
        self._scope = anyio.CancelScope()
        self._newest: Newest | None = None
        self._joining: dict[Reply, None] = {}
        """Who waits for a first answer."""
        self._waiting: dict[Reply, None] = {}
        """Who waits for another one."""
        self._is_wanted = False
        """Whether somebody has joined who cannot be given the last answer, since it may be older than that."""
        self._rounds = 0
        self._position = 0
        """What the last answer shows at least: none that follows shows less."""
        self._failure: BaseException | None = None
        self._failed_round: float = 0
        self.is_over = False
        self.readers = 0

    async def run(self) -> None:
        """Answers until nobody watches any more, or it fails."""
        if self.is_over:
            return
        with self._scope:
            try:
                await self._run()
            except (Exception, BaseExceptionGroup) as error:
                self.end(error, self._rounds)

    def leave(self) -> None:
        """One of those who watch does so no longer."""
        self.readers -= 1
        if not self.readers:
            self.is_over = True
            # A generator that nobody closed may outlive its event loop, with which the task has ended.
            with suppress(RuntimeError):
                self._scope.cancel()

    def end(self, failure: BaseException, failed_round: float = math.inf) -> None:
        """Tells all who watch why nothing more will come, and those who have joined since that round to begin anew."""
        if not self.is_over:
            self.is_over = True
            self._failure = failure
            self._failed_round = failed_round
            self._scope.cancel()
            self._wake(self._joining)
            self._wake(self._waiting)

    async def first(self) -> Newest | None:
        """An answer that is no older than this call; None where it must be asked for elsewhere.

        Raises what the query failed with.
        """
        joined = self._rounds
        while True:
            newest = self._newest
            if newest is not None and (newest.round > joined or (newest := self._renewed(newest)) is not None):
                return newest
            if self.is_over:
                if self._failed_round > joined:
                    self._fail()
                return None
            self._is_wanted = True
            self._signal.set()
            await self._wait(self._joining)

    async def after(self, last: Newest) -> Newest:
        """The newest answer once it is another one, but not sooner than it may follow; raises what it failed with."""
        while True:
            newest = self._newest
            assert newest is not None, "the last answer was the newest, once"
            if newest.number == last.number:
                if self.is_over:
                    self._fail()
                await self._wait(self._waiting)
            elif (pause_s := last.began + self._limits.watch_interval_s - self._clock.monotonic()) > 0 and (
                not self.is_over
            ):
                # Who has joined meanwhile had to be answered sooner.
                await anyio.sleep(pause_s)
            else:
                return newest

    def _renewed(self, newest: Newest) -> Newest | None:
        """The newest answer, where it is known to be true at this moment."""
        current = self._answers.current(self._question)
        if current is None or current.value is not newest.answered.value:
            return None
        self._position = max(self._position, current.position)
        return msgspec.structs.replace(newest, answered=current)

    def _fail(self) -> None:
        failure = self._failure
        assert failure is not None, "it is over because it failed, or because nobody watches"
        # A raised error carries the traceback of its task.
        raise failure.copy() if isinstance(failure, BusError) else failure

    async def _wait(self, waiting: dict[Reply, None]) -> None:
        reply = self._new_reply()
        waiting[reply] = None
        try:
            await reply
        finally:
            waiting.pop(reply, None)

    def _wake(self, waiting: dict[Reply, None]) -> None:
        for reply in waiting:
            if not reply.is_done:
                reply.set_result(None)

    async def _run(self) -> None:
        watcher = Watcher(self._signal)
        for one in self._progress.values():
            one.listen(watcher.note)
        try:
            while True:
                self._rounds += 1
                self._is_wanted = False
                began = self._clock.monotonic()
                watcher.begin()
                answered = await self._answer()
                watcher.end(answered.keys)
                self._publish(answered, began)
                if not watcher.is_due:
                    for one in [self._progress[name] for name in answered.keys]:
                        one.check(one.position + 1)
                look_s = self._limits.poll_interval_s if self._answers.may_change_unheard(answered) else math.inf
                await self._until_due(watcher, began + self._limits.watch_interval_s, began + look_s)
        finally:
            for one in self._progress.values():
                one.unlisten(watcher.note)

    async def _answer(self) -> Answered:
        """An answer that is no older than the last one, nor than this call."""
        query = self._question.query
        with self._queries.telling(query):
            while True:
                answered: Answered | None = None
                with anyio.CancelScope(deadline=self._queries.deadline(None)):
                    answered, _ = await self._answers.now(self._question)
                if answered is None:
                    raise self._queries.late(query)
                late = [name for name in answered.keys if answered.positions[name] < self._position]
                if not late:
                    break
                # A view that it did not read before is of a projection that is behind.
                await self._progress[late[0]].wait(self._position)
            if answered.failure is not None:
                raise answered.failure.copy()
            return answered

    def _publish(self, answered: Answered, began: float) -> None:
        last = self._newest
        is_other = last is None or answered.value != last.answered.value
        number = (0 if last is None else last.number) + is_other
        self._newest = Newest(answered, number, self._rounds, began)
        self._position = max(self._position, answered.position)
        self._wake(self._joining)
        if is_other:
            self._wake(self._waiting)

    async def _until_due(self, watcher: Watcher, earliest: float, latest: float) -> None:
        """Returns when something has changed, or `latest`, but before `earliest` only for somebody who has joined."""
        while not self._is_wanted:
            now = self._clock.monotonic()
            if now >= earliest and (watcher.is_due or now >= latest):
                return
            await self._signal.wait(earliest if watcher.is_due else max(earliest, latest))
