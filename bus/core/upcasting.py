"""Upcasters: how what an earlier release stored is read today, one step at a time, on plain data."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from bus.core import annotations
from bus.core.errors import DefinitionError
from bus.core.names import is_event_name, versioned

Data: TypeAlias = dict[str, Any]
"""A stored event as JSON has it: a dictionary of texts, numbers, lists and dictionaries, without its name."""


@dataclass(frozen=True, eq=False)
class Upcaster:
    """Events stored as `name` are read as `to`: the next version, or another name.

    `up(data)` makes the data of `to` from those of `name`, which are its own to change; without it they stay as they
    are. It is pure, and for ever: what it makes of an old event must not change.
    """

    name: str
    to: str
    up: Callable[[Data], Data] | None = None

    def __post_init__(self) -> None:
        what = f"upcaster of {self.name!r}"
        _check_names(what, self.name, (self.to,))
        if self.up is not None:
            annotations.check_callable(self.up, f"{what}: up")

    @property
    def targets(self) -> tuple[str, ...]:
        """What its events become."""
        return (self.to,)

    def steps(self, data: Data) -> Sequence[tuple[str, Data]]:
        """What one event becomes, in order."""
        return ((self.to, data if self.up is None else _checked(self.up(data))),)


@dataclass(frozen=True, eq=False)
class Split:
    """One event stored as `name` is read as several, of the names in `to`.

    `up(data)` returns them in order, each as a pair of its name and its data. They share the place of the stored one:
    its position and its version.
    """

    name: str
    to: tuple[str, ...]
    up: Callable[[Data], Sequence[tuple[str, Data]]]

    def __post_init__(self) -> None:
        what = f"split of {self.name!r}"
        if not isinstance(self.to, tuple) or not self.to:
            raise DefinitionError(f"{what}: to must be a tuple of names, not {self.to!r}")
        _check_names(what, self.name, self.to)
        annotations.check_callable(self.up, f"{what}: up")

    @property
    def targets(self) -> tuple[str, ...]:
        """What its events may become."""
        return self.to

    def steps(self, data: Data) -> Sequence[tuple[str, Data]]:
        """What one event becomes, in order."""
        parts: list[tuple[str, Data]] = []
        for name, part in self.up(data):
            if name not in self.to:
                raise ValueError(f"it made {name!r}, which is not among {', '.join(self.to)}")
            parts.append((name, _checked(part)))
        return parts


@dataclass(frozen=True, eq=False)
class Drop:
    """Events stored as `name` are read no more. They keep their places; nobody sees them."""

    name: str

    def __post_init__(self) -> None:
        _check_names(f"drop of {self.name!r}", self.name, ())

    @property
    def targets(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def steps(self, data: Data) -> Sequence[tuple[str, Data]]:
        """Nothing."""
        del data
        return ()


Upcasting: TypeAlias = Upcaster | Split | Drop
"""One step up from a stored name."""


def chained(upcasters: Iterable[Upcasting], current: Iterable[str]) -> Mapping[str, Upcasting]:
    """The steps by the name that each begins at.

    Raises `DefinitionError` for two that begin at one name, one that begins at a current type's, and a circle.
    """
    steps: dict[str, Upcasting] = {}
    for one in upcasters:
        if one.name in steps:
            raise DefinitionError(
                f"there is more than one upcaster of {one.name!r}: what an event becomes is one thing"
            )
        steps[one.name] = one
    for name in current:
        if name in steps:
            raise DefinitionError(
                f"{name!r} is the stored name of a type and has an upcaster, so that what is recorded today would be "
                f"read as something else: give the type its next version, tag={next_version(name)!r}"
            )
    for name in steps:
        _check_circle(name, steps)
    return steps


def finals(name: str, steps: Mapping[str, Upcasting]) -> frozenset[str]:
    """The names at which the steps from a stored name end; its own where none begins there."""
    step = steps.get(name)
    if step is None:
        return frozenset((name,))
    return frozenset(final for target in step.targets for final in finals(target, steps))


def missing(current: Iterable[str], steps: Mapping[str, Upcasting]) -> tuple[str, ...]:
    """Names that events of this application have or had, by what it says itself, and that nothing reads.

    Those are earlier versions of what it knows, and names that an upcaster leads to.
    """
    readable = {*current, *steps}
    wanted = {target for step in steps.values() for target in step.targets}
    for name in readable | wanted:
        base, version = versioned(name)
        wanted.update([with_version(base, earlier) for earlier in range(1, version)])
    return tuple(sorted(wanted - readable, key=versioned))


def with_version(base: str, version: int) -> str:
    """The stored name of a version; the first has no number."""
    return base if version == 1 else f"{base}@{version}"


def next_version(name: str) -> str:
    """The stored name of the version after that of a stored name."""
    base, version = versioned(name)
    return with_version(base, version + 1)


def _check_names(what: str, name: str, targets: tuple[str, ...]) -> None:
    for one in (name, *targets):
        if not is_event_name(one):
            raise DefinitionError(
                f"{what}: {one!r} is no stored name; it is the tag of an event, such as 'some-name' or, from its "
                "second version on, 'some-name@2'"
            )
    base, version = versioned(name)
    for target in targets:
        its_base, its_version = versioned(target)
        if its_base == base and its_version <= version:
            raise DefinitionError(f"{what}: {target!r} is no later version of it")


def _check_circle(start: str, steps: Mapping[str, Upcasting]) -> None:
    ahead, seen = list(steps[start].targets), set[str]()
    while ahead:
        name = ahead.pop()
        if name == start:
            raise DefinitionError(f"the upcasters lead from {start!r} back to itself")
        if name in steps and name not in seen:
            seen.add(name)
            ahead += steps[name].targets


def _checked(data: Any) -> Data:
    checked: Data = data
    if not isinstance(data, dict):
        raise TypeError(f"it returned {data!r}, which is no dictionary")
    return checked
