"""Given: where every test of a decider or a projection begins."""

from typing import Any, TypeVar, overload

from bus.core.decider import Decider
from bus.core.limits import Limits
from bus.core.messages import Command, Event, State, View
from bus.core.projection import Projection
from bus.testing.deciders import GivenDecider
from bus.testing.projections import GivenProjection

C = TypeVar("C", bound=Command)
S = TypeVar("S", bound=State)
E = TypeVar("E", bound=Event)
V = TypeVar("V", bound=View)


@overload
def given(what: Decider[C, S, E], /, *events: E, limits: Limits | None = None) -> GivenDecider[C, S, E]: ...


@overload
def given(what: Projection[V, E], /, *, limits: Limits | None = None) -> GivenProjection[V, E]: ...


def given(what: Any, /, *events: Any, limits: Limits | None = None) -> Any:
    """An aggregate of this decider after these events, or a projection of which no view exists yet.

        given(FLIGHT, FlightScheduled(...)).when(DepartFlight(...)).then(FlightDeparted(...))
        given(DEPARTURES).recorded("flight-UA-1", FlightScheduled(...)).then_view("UA-1", Departure(...))

    Raises TypeError for anything else, and what `GivenDecider` raises for events that cannot have been recorded.
    """
    limits = limits or Limits()
    if _is(what, Decider):
        return GivenDecider(what, events, limits)
    if not _is(what, Projection):
        raise TypeError(f"given takes a Decider and its events, or a Projection, not {what!r}")
    if events:
        raise TypeError('the events of a projection have places: given(...).recorded("flight-UA-1", FlightScheduled())')
    return GivenProjection(what, limits)


def _is(what: object, kind: type) -> bool:
    """Without narrowing, after which a type checker knows less than before."""
    return isinstance(what, kind)
