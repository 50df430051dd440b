"""Application: all that is the user's, as one value, checked as a whole when it is built."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from bus.core import annotations
from bus.core.caching import Cached
from bus.core.decider import Decider
from bus.core.errors import DefinitionError
from bus.core.messages import Command, Query, View, Views
from bus.core.projection import Projection
from bus.core.safe import safe_fields
from bus.core.schema import Schema
from bus.core.upcasting import Upcasting

QueryHandler = Callable[..., Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Application:
    """Deciders, projections and query handlers that belong together, and how old events are read.

    Raises `DefinitionError` where they do not fit. Upcasters that are missing are told when a bus is opened.
    """

    deciders: Sequence[Decider[Any, Any, Any]] = ()
    projections: Sequence[Projection[Any, Any]] = ()
    query_handlers: Sequence[QueryHandler | Cached] = ()
    upcasters: Sequence[Upcasting] = ()

    schema: Schema = field(init=False)
    decider_of: Mapping[type[Command], Decider[Any, Any, Any]] = field(init=False)
    command_names: Mapping[str, type[Command]] = field(init=False)
    projection_of: Mapping[type[View], Projection[Any, Any]] = field(init=False)
    handler_of: Mapping[type[Query[Any]], QueryHandler] = field(init=False)
    answers_max: Mapping[type[Query[Any]], int] = field(init=False)
    """How many answers are kept, of queries whose handlers are `cached`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "deciders", _several(self.deciders, Decider, "deciders"))
        object.__setattr__(self, "projections", _several(self.projections, Projection, "projections"))
        object.__setattr__(self, "query_handlers", _several(self.query_handlers, object, "query_handlers"))
        object.__setattr__(self, "upcasters", _several(self.upcasters, Upcasting, "upcasters"))
        _unique("decider of category", [decider.category for decider in self.deciders])
        _unique("projection", [projection.name for projection in self.projections])
        events = [event for decider in self.deciders for event in decider.events]
        events += [event for projection in self.projections for one in projection.versions for event in one.events]
        object.__setattr__(self, "schema", Schema(events, self.upcasters))
        object.__setattr__(self, "decider_of", self._deciders_by_command())
        object.__setattr__(self, "command_names", self._commands_by_name())
        object.__setattr__(self, "projection_of", self._projections_by_view())
        handlers = self._handlers_by_query()
        object.__setattr__(self, "handler_of", {query: _plain(handler) for query, handler in handlers.items()})
        kept = {query: one.answers_max for query, one in handlers.items() if isinstance(one, Cached)}
        object.__setattr__(self, "answers_max", kept)
        for message in (*self.decider_of, *self.schema.by_type, *self.handler_of):
            safe_fields(message)

    def _deciders_by_command(self) -> dict[type[Command], Decider[Any, Any, Any]]:
        found: dict[type[Command], Decider[Any, Any, Any]] = {}
        for decider in self.deciders:
            for command in decider.commands:
                if command in found:
                    both = f"{found[command].category!r} and {decider.category!r}"
                    raise DefinitionError(
                        f"command {command.__qualname__} is taken by the deciders {both}: one must own it"
                    )
                found[command] = decider
        return found

    def _commands_by_name(self) -> dict[str, type[Command]]:
        names: dict[str, type[Command]] = {}
        for command in self.decider_of:
            name = annotations.tag_of(command)
            if name in names:
                both = f"{names[name].__qualname__} and {command.__qualname__}"
                raise DefinitionError(f"the commands {both} share the name {name!r}: give one another tag")
            names[name] = command
        return names

    def _projections_by_view(self) -> dict[type[View], Projection[Any, Any]]:
        found: dict[type[View], Projection[Any, Any]] = {}
        for projection in self.projections:
            if projection.view in found:
                both = f"{found[projection.view].name!r} and {projection.name!r}"
                raise DefinitionError(
                    f"view {projection.view.__qualname__} is kept by the projections {both}: one must own it"
                )
            found[projection.view] = projection
        return found

    def _handlers_by_query(self) -> dict[type[Query[Any]], QueryHandler | Cached]:
        found: dict[type[Query[Any]], QueryHandler | Cached] = {}
        for handler in self.query_handlers:
            query = _handled(_plain(handler))
            if query in found:
                raise DefinitionError(f"there is more than one handler of query {query.__qualname__}")
            found[query] = handler
        return found


def _several(given: Any, kind: Any, what: str) -> tuple[Any, ...]:
    """The elements of a list that the user gave, each of which must be of its kind."""
    try:
        several: tuple[Any, ...] = tuple(given)
    except TypeError as error:
        raise DefinitionError(f"{what} must be a list, not {given!r}") from error
    for one in several:
        if not isinstance(one, kind):
            kinds = " or ".join([one_kind.__name__ for one_kind in get_args(kind) or (kind,)])
            raise DefinitionError(f"{what} must be of type {kinds}; {one!r} is not")
    return several


def _unique(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DefinitionError(f"there is more than one {what} {', '.join(twice)}")


def _plain(handler: QueryHandler | Cached) -> QueryHandler:
    return handler.handler if isinstance(handler, Cached) else handler


def _handled(handler: QueryHandler) -> type[Query[Any]]:
    """The query that a handler answers; its return annotation must be the query's answer type."""
    what = f"query handler {getattr(handler, '__qualname__', repr(handler))}"
    parameters, returned = annotations.hints(handler, what)
    if not inspect.iscoroutinefunction(handler):
        raise DefinitionError(f"{what} must be an async function")
    if len(parameters) != 2 or parameters[1] is not Views:
        raise DefinitionError(f"{what} must take (query, views: Views)")
    if not _is_query(parameters[0]):
        raise DefinitionError(f"{what} must take a subclass of Query, not {parameters[0]!r}")
    query: type[Query[Any]] = parameters[0]
    answer = answer_type(query)
    if not _same(answer, returned):
        raise DefinitionError(f"{what} returns {returned!r}, but {query.__qualname__} asks for {answer!r}")
    return query


def _is_query(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Query) and annotation is not Query


def answer_type(query: type[Query[Any]]) -> Any:
    """The `R` of a `Query[R]`."""
    for parent in query.__mro__:
        for base in _bases(parent):
            if get_origin(base) is Query:
                return annotations.resolved(get_args(base)[0], parent, f"query {query.__qualname__}")
    raise DefinitionError(f"query {query.__qualname__} names no answer: write class {query.__name__}(Query[list[...]])")


def _bases(parent: type) -> tuple[Any, ...]:
    bases: tuple[Any, ...] = parent.__dict__.get("__orig_bases__", parent.__bases__)
    return bases


def _same(one: Any, other: Any) -> bool:
    """Whether two annotations mean the same type, however they are written."""
    one, other = annotations.unaliased(one), annotations.unaliased(other)
    return bool(one == other)
