"""Lineage: the builds of one projection that this process knows, one of which answers."""

from collections.abc import Callable, Iterable

import msgspec

from bus.core.batches import AnyProjection
from bus.core.builds import ANSWERING, BUILDING, Build
from bus.core.stored import ViewTable
from bus.read.progress import Progress
from bus.read.projector import Projector
from bus.runtime.reply import Reply


class Source(msgspec.Struct, frozen=True):
    """Where answers are read from at one moment."""

    projection: AnyProjection
    table: ViewTable
    position: int
    """Its views hold at least the events up to here."""
    is_built: bool
    """Whether they have been built at all."""
    lineage: "Lineage | None" = None
    """Where it is to be told what is read, while others may come to answer."""


def is_later(one: ViewTable, other: ViewTable) -> bool:
    """Whether `one` is of a later version than `other`, or was built later in the same one."""
    return (one.version, one.build) > (other.version, other.build)


class Lineage:
    """Knows the projection's own version and, by `previous`, those before it."""

    def __init__(self, projection: AnyProjection, new_reply: Callable[[], Reply]) -> None:
        self.projection = projection
        self.name = projection.name
        self.progress = Progress(projection, new_reply)
        """That of the build which answers, whichever that is; it never goes back."""
        self.projectors: dict[tuple[str, int, int], Projector] = {}
        """By the place of the table."""
        self.builds: dict[tuple[str, int, int], Build] = {}
        """As the view store had them when it was looked at last."""
        self.is_watched = False
        """Whether it notes how far the views have come from which it is answered, since others may come to answer."""
        self._answered = 0
        """The furthest of those positions."""
        self._versions = {one.version: one for one in projection.versions}
        self._answers: Projector | None = None

    @property
    def answers(self) -> Projector:
        """The projector of the build which answers, or will when it has been built, where none does."""
        assert self._answers is not None, "an open bus has looked at its builds"
        return self._answers

    def version(self, number: int) -> AnyProjection | None:
        """The projection of that version, where this process knows it."""
        return self._versions.get(number)

    def known(self, builds: Iterable[Build]) -> list[Build]:
        """Those of the builds that are this projection's, in a version that this process knows."""
        return [one for one in builds if one.table.projection == self.name and one.table.version in self._versions]

    def named(self, table: ViewTable) -> ViewTable:
        """The table with the indexes that its version declares, whatever it is indexed by."""
        return ViewTable(table.projection, table.version, self._versions[table.version].indexes, table.build)

    def find(self, version: int) -> Projector | None:
        """The projector that answers in that version, or its latest one."""
        if self.answers.table.version == version:
            return self.answers
        found = [one for one in self.projectors.values() if one.table.version == version]
        return max(found, key=lambda one: one.table.build, default=None)

    def adopt(self, projector: Projector) -> None:
        """Answers come from there from now on."""
        if self._answers is not None:
            self._answers.progress.public = None
        self._answers = projector
        projector.progress.show(self.progress)

    @property
    def source(self) -> Source:
        """Where answers are read from now."""
        answers = self.answers
        build = self.builds.get(answers.table.place)
        is_built = build is None or build.state != BUILDING
        return Source(answers.projection, answers.table, self.progress.position, is_built, self)

    def read(self, table: ViewTable, position: int) -> bool:
        """Notes that an answer is read from there; false where it must not be, since another table answers by now."""
        if table.place != self.answers.table.place:
            return False
        self._answered = max(self._answered, position)
        return True

    def may_adopt(self, projector: Projector) -> bool:
        """Whether no answer from there is older than one that was given before, as the view store was looked at now.

        What was read unnoted before, was in the view store at this look, if it was watched before that.
        """
        before = self.builds.get(self.answers.table.place) or self.builds[projector.table.place]
        needed = max(self.progress.position, self._answered, before.checkpoint.position)
        return self.is_watched and projector.progress.position >= needed

    @property
    def building(self) -> Projector | None:
        """What is being built beside that which answers, or instead of it."""
        places = [place for place, build in self.builds.items() if build.state == BUILDING]
        return next((self.projectors[place] for place in places if place in self.projectors), None)

    @property
    def coming(self) -> Projector | None:
        """What is to answer by the view store, and is yet to come as far as what was answered from here."""
        projector = self.projectors.get(self.choose().table.place) if self.builds else None
        return None if projector is self._answers else projector

    def choose(self) -> Build:
        """Which of the builds is to answer: the one that does, in the latest version.

        Where none does in any version known here it is the latest that was replaced, or else that is being built.
        """

        def rank(build: Build) -> tuple[bool, bool, int, int]:
            return build.state == ANSWERING, build.state != BUILDING, build.table.version, build.table.build

        return max(self.builds.values(), key=rank)
