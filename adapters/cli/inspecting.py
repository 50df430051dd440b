"""Inspecting: what an application's modules define and the application does not use, or lacks."""

import sys
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from adapters.cli.findings import Finding, place_of
from bus import Application, BatchProjection, Command, Decider, Event, Projection, Query
from bus.core.batches import AnyProjection
from bus.core.messages import UNNAMED, Message
from bus.core.names import versioned
from bus.core.upcasting import next_version


def inspected(application: Application, module: str) -> Iterator[Finding]:
    """What is to be mended; `module` is where the application was found.

    Looked at are that module and those of whatever the application holds. What belongs to another application that
    they define is that one's business.
    """
    modules = _modules(application, module)
    applications = [application, *_instances(modules, Application)]
    yield from _unread_versions(application)
    commands = {command for one in applications for command in one.decider_of}
    for command in _unused(Command, commands, modules):
        name = command.__qualname__
        message = f"command {name} has no decider: let one of the application's take it, or remove it"
        yield Finding("command-without-decider", name, message, place_of(command))
    events = {event for one in applications for event in one.schema.by_type}
    for event in _unused(Event, events, modules):
        yield _unused_event(event)
    queries = {query for one in applications for query in one.handler_of}
    for query in _unused(Query, queries, modules):
        name = query.__qualname__
        message = f"query {name} has no handler: add one to Application(query_handlers=[...]), or remove it"
        yield Finding("query-without-handler", name, message, place_of(query))
    deciders = {id(decider) for one in applications for decider in one.deciders}
    for decider in _instances(modules, Decider):
        if id(decider) not in deciders:
            message = f"decider {decider.category!r} is in no application: add it to Application(deciders=[...])"
            yield Finding("decider-unused", decider.category, message, place_of(decider.decide))
    projections = {id(projection) for one in applications for projection in one.projections}
    for projection in _instances(modules, Projection | BatchProjection):
        if id(projection) not in projections:
            message = f"projection {projection.name!r} is in no application: add it to Application(projections=[...])"
            yield Finding("projection-unused", projection.name, message, place_of(_function_of(projection)))


def _unread_versions(application: Application) -> Iterator[Finding]:
    schema = application.schema
    for name in schema.missing:
        base = versioned(name)[0]
        near = [codec.type for known, codec in schema.by_name.items() if versioned(known)[0] == base]
        message = (
            f"nothing reads the events stored as {name!r}: add Upcaster({name!r}, to={next_version(name)!r}, up=...) "
            f"or Drop({name!r}) to Application(upcasters=[...])"
        )
        yield Finding("upcaster-missing", name, message, place_of(near[0]) if near else "")


def _unused_event(event: type[Message]) -> Finding:
    name, tag = event.__qualname__, str(event.__struct_config__.tag)
    if tag.startswith(UNNAMED):
        message = f'event {name} has no stored name, and nothing records it: write {name}(Event, tag="some-name")'
        return Finding("event-without-name", name, message, place_of(event))
    message = (
        f"event {name} is named by no decider and no projection, so those stored as {tag!r} cannot be read: let a "
        f"decider name it, or Drop({tag!r})"
    )
    return Finding("event-unread", name, message, place_of(event))


def _modules(application: Application, module: str) -> list[ModuleType]:
    """In the order in which they are met; those of the library itself are not the user's."""
    things: list[Any] = [*application.decider_of, *application.schema.by_type, *application.handler_of]
    things += [*application.projection_of, *application.handler_of.values()]
    things += [decider.decide for decider in application.deciders]
    things += [_function_of(projection) for projection in application.projections]
    names = dict.fromkeys([module, *[str(thing.__module__) for thing in things]])
    return [sys.modules[name] for name in names if name in sys.modules and name.partition(".")[0] != "bus"]


def _function_of(projection: AnyProjection) -> Callable[..., Any]:
    return projection.handle if isinstance(projection, BatchProjection) else projection.project


def _instances(modules: Sequence[ModuleType], kind: Any) -> list[Any]:
    """Objects at the top of these modules, each once, imported ones included."""
    found = [value for module in modules for value in vars(module).values() if isinstance(value, kind)]
    return list({id(value): value for value in found}.values())


def _unused(base: type[Message], used: set[Any], modules: Sequence[ModuleType]) -> Iterator[type[Message]]:
    """Messages that these modules define at their top and that are not used; those with subclasses are bases only."""
    for module in modules:
        own = [thing for thing in vars(module).values() if getattr(thing, "__module__", None) == module.__name__]
        for thing in own:
            is_whole = isinstance(thing, type) and issubclass(thing, base) and not thing.__subclasses__()
            if is_whole and thing not in used and "<locals>" not in thing.__qualname__:
                yield thing
