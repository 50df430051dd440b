"""Rebuilding: carries out what people ask of a projection's builds, where this process runs the one that answers."""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from bus.core.batches import BatchProjection
from bus.core.builds import ANSWERING, BUILDING, REPLACED, Build
from bus.core.letters import Request
from bus.core.stored import table_of
from bus.read.lineage import Lineage
from bus.read.projector import Projector
from bus.read.services import Services
from bus.read.switching import switch
from bus.runtime.log import log

_ANSWERED_MAX: Final = 1_000
"""More than are read from the store at a time."""


class Keeper(Protocol):
    """Who keeps the builds of this process."""

    async def reload(self, lineage: Lineage) -> None:
        """Takes note of what has just been changed in the view store."""
        ...

    async def drop(self, lineage: Lineage, projector: Projector) -> bool:
        """Drops a build; false where it answers."""
        ...


class Rebuilding:
    """Requests to rebuild, to switch or to drop that were taken and not yet answered, oldest first."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = services.view_store
        self.on_ask: Callable[[], None] = lambda: None
        """Called when there is something to do."""
        self.on_answer: Callable[[Request], None] = lambda _: None
        """Called with what was answered."""
        self._open: dict[str, Request] = {}
        self._outcomes: dict[str, tuple[bool, str]] = {}
        """Of those that were carried out, until their answers are kept: none is carried out twice."""
        self._answered = deque[str](maxlen=_ANSWERED_MAX)
        """Those that were answered last, which somebody may have read from the store before that."""

    def ask(self, request: Request) -> None:
        """Takes a request, unless it has it."""
        if request.id not in self._open and request.id not in self._answered:
            self._open[request.id] = request
            self.on_ask()

    async def carry_out(self, lineage: Lineage, keeper: Keeper) -> bool:
        """Does what is asked of this projection; returns whether anything was done. Raises what the store raises."""
        asked = [one for one in self._open.values() if one.projection == lineage.name]
        answers = lineage.answers
        if not answers.is_here and answers.progress.stopped is None:
            # It is another process's business, where these requests are found as well.
            for request in asked:
                del self._open[request.id]
            return False
        for request in asked:
            if lineage.version(request.version) is None and await self._is_there(request):
                # It is the business of those who know that version.
                del self._open[request.id]
                continue
            if request.id not in self._outcomes:
                self._outcomes[request.id] = await self._outcome(request, lineage, keeper)
            if self._outcomes[request.id][0] and request.action != "drop":
                await keeper.reload(lineage)
            await self._answer(request, *self._outcomes[request.id])
        return bool(asked)

    async def _is_there(self, request: Request) -> bool:
        """Whether there are views of the version that a request names."""
        tables = [one.table for one in await self._store.builds()]
        return any((one.projection, one.version) == (request.projection, request.version) for one in tables)

    async def _outcome(self, request: Request, lineage: Lineage, keeper: Keeper) -> tuple[bool, str]:
        if request.action in ("retry", "discard"):
            return False, f"the views of version {request.version} are no longer there, nor are their letters"
        if isinstance(lineage.projection, BatchProjection) and request.action != "drop":
            return False, "a batch projection writes tables of its own: raise its version to fill others anew"
        if request.action == "rebuild":
            return await self._rebuild(request, lineage)
        if request.action == "switch":
            return await self._switch(request, lineage)
        if request.to_drop is None:
            return await self._drop(lineage, keeper)
        return await self._drop_named(lineage, keeper, *request.to_drop)

    async def _rebuild(self, request: Request, lineage: Lineage) -> tuple[bool, str]:
        if (done := _since(request, lineage)) is not None:
            # Because this was carried out before a crash: to build once more is not what was asked for.
            return True, (
                f"{done.table.title} is being built, and answers once it has caught up"
                if done.state == BUILDING
                else f"{done.table.title} was built, and is {done.state}"
            )
        if not lineage.builds:
            # This process has nothing left to build them with, and would take them for those that it answered from.
            return False, f"the views of {lineage.answers.title} were dropped: open the bus again to build them anew"
        if (building := lineage.building) is not None:
            return False, f"{building.title} is being built already, and is at position {building.progress.position}"
        table = table_of(lineage.projection)
        last = max(
            [one.table.build for one in lineage.builds.values() if one.table.version == table.version], default=-1
        )
        table = msgspec.structs.replace(table, build=last + 1)
        await self._store.build(table, self._services.clock.now())
        log.info("views are built anew", projection=table.projection, version=table.version, build=table.build)
        return True, f"version {table.version} build {table.build} is being built, and answers once it has caught up"

    async def _switch(self, request: Request, lineage: Lineage) -> tuple[bool, str]:
        build = lineage.builds.get(lineage.answers.table.place)
        since = build.since if build is not None and build.state == ANSWERING else None
        if since is not None and since > request.asked_at:
            # By itself, or because this was carried out before a crash: to switch once more would be to go back.
            return True, f"{lineage.answers.title} answers now"
        other = lineage.building or _replaced(lineage)
        if other is None:
            return False, "there is nothing to switch to: nothing is being built, and nothing was replaced lately"
        if await switch(self._services, lineage, other):
            return True, f"{other.title} answers now"
        at, of = other.progress.position, lineage.progress.position
        if other.progress.stopped is not None:
            return False, f"{other.title} has stopped at position {at}: {other.progress.stopped}"
        if not other.is_here:
            return False, f"{other.title} is built by another process, which switches once it has caught up"
        return (
            False,
            f"{other.title} is at position {at} of {of}, and answers by itself once it has caught up",
        )

    async def _drop(self, lineage: Lineage, keeper: Keeper) -> tuple[bool, str]:
        other = lineage.building or _replaced(lineage)
        if other is None or other is lineage.answers:
            return False, "there is nothing to drop but what answers"
        if await keeper.drop(lineage, other):
            return True, f"{other.title} was dropped"
        return False, f"{other.title} answers, and was not dropped"

    async def _drop_named(self, lineage: Lineage, keeper: Keeper, version: int, build: int | None) -> tuple[bool, str]:
        """Drops what a version has, which need not be one that this process knows: perhaps nobody knows it any more."""
        tables = [one.table for one in await self._store.builds() if one.table.projection == lineage.name]
        meant = [one for one in tables if one.version == version and build in (None, one.build)]
        answers, dropped = lineage.answers.table.place, list[str]()
        for table in [one for one in meant if one.place != answers]:
            projector = lineage.projectors.get(table.place)
            if await (self._store.drop(table) if projector is None else keeper.drop(lineage, projector)):
                dropped.append(table.title)
        if dropped:
            return True, f"{' and '.join(dropped)} {'was' if len(dropped) == 1 else 'were'} dropped"
        if meant:
            return False, f"{meant[0].title} answers, and was not dropped"
        named = f"version {version}" + ("" if build is None else f" build {build}")
        return False, f"there is no {named}: it was dropped already, or never was"

    async def _answer(self, request: Request, is_done: bool, answer: str) -> None:
        told = msgspec.structs.replace(request, answered_at=self._services.clock.now(), is_done=is_done, answer=answer)
        await self._store.answer(told)
        self._open.pop(request.id, None)
        self._outcomes.pop(request.id, None)
        self._answered.append(request.id)
        self.on_answer(told)


def _since(request: Request, lineage: Lineage) -> Build | None:
    """The build beside another one that was made, or came to answer, since a request was left."""
    found = [
        one
        for one in lineage.builds.values()
        if one.table.version == lineage.projection.version
        and one.table.build > 0
        and one.state != REPLACED
        and one.since is not None
        and one.since > request.asked_at
    ]
    return max(found, key=lambda one: one.table.build, default=None)


def _replaced(lineage: Lineage) -> Projector | None:
    """What was replaced last, where it is still there."""
    found = [one for one in lineage.builds.values() if one.state == REPLACED and one.since is not None]
    found.sort(key=lambda one: (one.since, one.table.version, one.table.build), reverse=True)
    return next((lineage.projectors[one.table.place] for one in found if one.table.place in lineage.projectors), None)
