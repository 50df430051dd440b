"""Flight: one scheduled flight on one day, from its place in the schedule to its end."""

import enum
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, NewType, assert_never

import msgspec

from bus.core import SAFE, Command, Decider, Event, Rejected, State

FlightId = NewType("FlightId", str)
"""Carrier, number, local date and origin identify a flight: `UA-1545-2013-01-01-EWR`."""
Airport = NewType("Airport", str)
"""Three letters: `EWR`."""
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""A moment in time: a datetime with a zone."""

EARLY_MAX = timedelta(hours=24)
"""Leaving minutes early is normal (up to 43 in a year of records); a whole day early is another day's flight."""

DESIGNATORS = {
    "carrier": re.compile(r"[A-Za-z0-9]{2,3}"),
    "number": re.compile(r"[1-9][0-9]{0,3}"),
    "origin": re.compile(r"[A-Za-z0-9]{3,4}"),
    "destination": re.compile(r"[A-Za-z0-9]{3,4}"),
    "aircraft": re.compile(r"[A-Za-z0-9-]{1,10}"),
}
"""What the names in a schedule look like: read models make keys of them."""


class Status(enum.StrEnum):
    """How far a flight has come."""

    UNKNOWN = "unknown"
    SCHEDULED = "scheduled"
    DEPARTED = "departed"
    LANDED = "landed"
    DIVERTED = "diverted"
    CANCELLED = "cancelled"


# Commands


class ScheduleFlight(Command):
    """Put the flight on the schedule."""

    flight_id: FlightId
    carrier: str
    number: int
    origin: Annotated[Airport, SAFE]
    destination: Annotated[Airport, SAFE]
    aircraft: str | None
    """Tail number; None while no aircraft is assigned."""
    departs_at: Instant
    arrives_at: Instant


class DepartFlight(Command):
    """The flight has left the gate."""

    flight_id: FlightId
    at: Instant


class LandFlight(Command):
    """The flight has arrived at its destination."""

    flight_id: FlightId
    at: Instant


class DivertFlight(Command):
    """The flight goes somewhere else than to its destination."""

    flight_id: FlightId
    at: Instant


class CancelFlight(Command):
    """The flight will not leave."""

    flight_id: FlightId
    at: Instant


FlightCommand = ScheduleFlight | DepartFlight | LandFlight | DivertFlight | CancelFlight


# Events


class OfFlight(Event):
    """What every event of a flight carries, so that no projection has to look anything up."""

    carrier: str
    origin: Annotated[Airport, SAFE]
    destination: Annotated[Airport, SAFE]
    aircraft: str | None
    departs_at: Instant
    """The scheduled departure, whatever happened."""


class FlightScheduled(OfFlight, tag="flight-scheduled"):
    """The flight is on the schedule."""

    number: int
    arrives_at: Instant


class FlightDeparted(OfFlight, tag="flight-departed"):
    """The flight left the gate."""

    at: Instant
    delay: timedelta
    """Against the scheduled departure; negative when it left early."""


class FlightLanded(OfFlight, tag="flight-landed"):
    """The flight arrived at its destination."""

    at: Instant
    delay: timedelta
    """Against the scheduled arrival; negative when it came early."""


class FlightDiverted(OfFlight, tag="flight-diverted"):
    """The flight went somewhere else."""

    at: Instant


class FlightCancelled(OfFlight, tag="flight-cancelled"):
    """The flight will not leave."""

    at: Instant


FlightEvent = FlightScheduled | FlightDeparted | FlightLanded | FlightDiverted | FlightCancelled


# Rejections


class NotScheduled(Rejected):
    """Nothing can happen to a flight that is not on the schedule."""


class AlreadyScheduled(Rejected):
    """A flight is put on the schedule once."""


class NotADesignator(Rejected):
    """What shall name a carrier, an airport, an aircraft or a flight number cannot be one."""


class SameAirport(Rejected):
    """A flight leads from one airport to another."""


class ArrivesBeforeDeparture(Rejected):
    """The schedule has the flight arrive no later than it leaves."""


class TimeWithoutZone(Rejected):
    """A time of day means nothing between airports unless it says in which zone."""


class DepartsTooEarly(Rejected):
    """The departure lies so long before the schedule that it must be another day's flight."""


class NotDeparted(Rejected):
    """Only a flight in the air can land or be diverted."""


class AlreadyDeparted(Rejected):
    """The flight has left the gate: it cannot leave again, nor be cancelled."""


class AlreadyLanded(Rejected):
    """The flight is over: it has landed at its destination."""


class AlreadyDiverted(Rejected):
    """The flight is over: it went somewhere else."""


class AlreadyCancelled(Rejected):
    """The flight is over: it was cancelled."""


class NotAfterDeparture(Rejected):
    """What happens to a flight in the air happens after its departure."""


# State


class Flight(State):
    """What a flight remembers: its status, its plan once there is one, its departure once there was one."""

    status: Status = Status.UNKNOWN
    plan: FlightScheduled | None = None
    departed_at: Instant | None = None


# Decide


def decide(command: FlightCommand, flight: Flight) -> Sequence[FlightEvent]:
    """What happens, given a command and the flight so far; raises a subclass of `Rejected`."""
    match command:
        case ScheduleFlight():
            return (_schedule(command, flight),)
        case DepartFlight():
            return (_depart(command, flight),)
        case LandFlight():
            return (_land(command, flight),)
        case DivertFlight():
            return (_divert(command, flight),)
        case CancelFlight():
            return (_cancel(command, flight),)
        case _:
            assert_never(command)


def _schedule(command: ScheduleFlight, flight: Flight) -> FlightScheduled:
    flight_id = command.flight_id
    if flight.plan is not None:
        when, status = flight.plan.departs_at, flight.status
        message = f"flight {flight_id} is on the schedule already, for {when}; its status is {status}"
        raise AlreadyScheduled(message, flight_id=flight_id, departs_at=when, status=status)
    _check_designators(command)
    _check_zone(flight_id, command.departs_at)
    _check_zone(flight_id, command.arrives_at)
    if command.origin == command.destination:
        message = f"flight {flight_id} cannot lead from {command.origin} to {command.origin}: correct the destination"
        raise SameAirport(message, flight_id=flight_id, airport=command.origin)
    if command.arrives_at <= command.departs_at:
        departs_at, arrives_at = command.departs_at, command.arrives_at
        message = f"flight {flight_id} would leave at {departs_at} and arrive at {arrives_at}: check times and zones"
        raise ArrivesBeforeDeparture(message, flight_id=flight_id, departs_at=departs_at, arrives_at=arrives_at)
    return FlightScheduled(
        carrier=command.carrier,
        origin=command.origin,
        destination=command.destination,
        aircraft=command.aircraft,
        departs_at=command.departs_at,
        number=command.number,
        arrives_at=command.arrives_at,
    )


def _check_designators(command: ScheduleFlight) -> None:
    fields = {name: getattr(command, name) for name in DESIGNATORS}
    wrong = [
        name for name, value in fields.items() if value is not None and not DESIGNATORS[name].fullmatch(str(value))
    ]
    if wrong:
        found = ", ".join(f"{name} {str(fields[name])[:20]!r}" for name in wrong)
        raise NotADesignator(f"cannot schedule {command.flight_id}: correct {found}", flight_id=command.flight_id)


def _depart(command: DepartFlight, flight: Flight) -> FlightDeparted:
    plan = _waiting(command, flight)
    delay = command.at - plan.departs_at
    if delay < -EARLY_MAX:
        raise DepartsTooEarly(
            f"flight {command.flight_id} cannot leave at {command.at}: it is scheduled for {plan.departs_at}, more "
            "than a day later; is it the flight of another day?",
            flight_id=command.flight_id,
            at=command.at,
            departs_at=plan.departs_at,
        )
    return FlightDeparted(*_copied(plan), at=command.at, delay=delay)


def _land(command: LandFlight, flight: Flight) -> FlightLanded:
    plan = _in_the_air(command, flight)
    return FlightLanded(*_copied(plan), at=command.at, delay=command.at - plan.arrives_at)


def _divert(command: DivertFlight, flight: Flight) -> FlightDiverted:
    plan = _in_the_air(command, flight)
    return FlightDiverted(*_copied(plan), at=command.at)


def _cancel(command: CancelFlight, flight: Flight) -> FlightCancelled:
    plan = _waiting(command, flight)
    return FlightCancelled(*_copied(plan), at=command.at)


def _copied(plan: FlightScheduled) -> tuple[str, Airport, Airport, str | None, datetime]:
    """The fields of `OfFlight`, in its order."""
    return plan.carrier, plan.origin, plan.destination, plan.aircraft, plan.departs_at


def _waiting(command: DepartFlight | CancelFlight, flight: Flight) -> FlightScheduled:
    """The plan of a flight that has not left; raises what stands in the way."""
    flight_id = command.flight_id
    if flight.plan is None:
        raise _not_scheduled(flight_id)
    match flight.status:
        case Status.SCHEDULED:
            _check_zone(flight_id, command.at)
            return flight.plan
        case Status.CANCELLED:
            raise _already_cancelled(flight_id)
        case _:
            raise AlreadyDeparted(
                f"flight {flight_id} left the gate at {flight.departed_at}; its status is {flight.status}",
                flight_id=flight_id,
                departed_at=flight.departed_at,
                status=flight.status,
            )


def _in_the_air(command: LandFlight | DivertFlight, flight: Flight) -> FlightScheduled:
    """The plan of a flight that is in the air at the command's time; raises what stands in the way."""
    flight_id = command.flight_id
    if flight.plan is None:
        raise _not_scheduled(flight_id)
    if flight.status is Status.DEPARTED:
        assert flight.departed_at is not None, "a departed flight has a time of departure"
        _check_zone(flight_id, command.at)
        if command.at > flight.departed_at:
            return flight.plan
        raise NotAfterDeparture(
            f"flight {flight_id} left at {flight.departed_at}; {command.at} is not after that: check time and zone",
            flight_id=flight_id,
            at=command.at,
            departed_at=flight.departed_at,
        )
    if flight.status is Status.CANCELLED:
        raise _already_cancelled(flight_id)
    if flight.status is Status.LANDED:
        raise AlreadyLanded(
            f"flight {flight_id} has landed at {flight.plan.destination}; nothing more can happen to it",
            flight_id=flight_id,
            destination=flight.plan.destination,
        )
    if flight.status is Status.DIVERTED:
        raise AlreadyDiverted(
            f"flight {flight_id} was diverted; it does not reach {flight.plan.destination} under this number",
            flight_id=flight_id,
            destination=flight.plan.destination,
        )
    raise NotDeparted(
        f"flight {flight_id} is still at the gate of {flight.plan.origin}: send its departure first",
        flight_id=flight_id,
        origin=flight.plan.origin,
        departs_at=flight.plan.departs_at,
    )


def _not_scheduled(flight_id: FlightId) -> NotScheduled:
    return NotScheduled(f"flight {flight_id} is not on the schedule: schedule it first", flight_id=flight_id)


def _already_cancelled(flight_id: FlightId) -> AlreadyCancelled:
    return AlreadyCancelled(f"flight {flight_id} was cancelled; nothing more can happen to it", flight_id=flight_id)


def _check_zone(flight_id: FlightId, at: datetime) -> None:
    if at.tzinfo is None:
        raise TimeWithoutZone(f"flight {flight_id}: the time {at} needs a zone, best UTC", flight_id=flight_id, at=at)


# Evolve


def evolve(flight: Flight, event: FlightEvent) -> Flight:
    """The flight after an event."""
    match event:
        case FlightScheduled():
            return Flight(Status.SCHEDULED, event)
        case FlightDeparted():
            return Flight(Status.DEPARTED, flight.plan, event.at)
        case FlightLanded():
            return Flight(Status.LANDED, flight.plan, flight.departed_at)
        case FlightDiverted():
            return Flight(Status.DIVERTED, flight.plan, flight.departed_at)
        case FlightCancelled():
            return Flight(Status.CANCELLED, flight.plan)
        case _:
            assert_never(event)


# Decider


def _flight_id(command: FlightCommand) -> str:
    return command.flight_id


FLIGHT = Decider(category="flight", initial=Flight(), identify=_flight_id, decide=decide, evolve=evolve)
