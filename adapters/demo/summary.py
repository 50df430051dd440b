"""Summary: what a run of the demo did, as figures and in words."""

from collections.abc import Sequence

import msgspec

from adapters.flights import UnusableRow


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did, and what was found in the stores afterwards."""

    input: str
    flights: int
    commands: int
    commands_left: int = 0
    """Not played, since it was interrupted."""
    rejected: int
    rejected_by_code: dict[str, int]
    duplicates: int
    """Commands that were recorded by an earlier run and recorded nothing now."""
    events: int
    """Recorded by this run."""
    by_event: dict[str, int]
    """The same by stored name."""
    by_status: dict[str, int]
    """All flights of the store, from the read model."""
    rows_unusable: int
    unusable: list[UnusableRow]
    """The first of these."""
    seconds: float
    """From the first byte read to the last view written."""
    commands_per_second: float
    store: str
    views: str
    event_store_events_before: int
    event_store_events: int
    """Counted in the store afterwards, event by event."""
    views_compared: int
    views_match: bool
    """Whether every view equals a fold of the whole store but for what is parked, made apart from the projectors."""
    dead_letters: int = 0
    """Events that are parked for a view."""
    projection_lag_events: int
    faults: list[str]
    """What the audit found wrong."""
    nothing_lost: bool
    trace_id: str | None = None
    """Of one command, where traces were sent."""


def sentences(summary: Summary) -> Sequence[str]:
    """The summary in words."""
    lines = [
        f"{summary.flights:,} flights played as {summary.commands:,} commands in {summary.seconds:.2f} s "
        f"({summary.commands_per_second:,.0f} commands/s, reading and read models included).",
        f"{summary.events:,} events recorded; {summary.rejected:,} commands rejected; "
        f"{summary.rows_unusable:,} rows unusable.",
    ]
    if summary.commands_left:
        lines.append(
            f"It was interrupted: {summary.commands_left:,} commands are left; the same --store goes on with them."
        )
    if summary.event_store_events_before:
        lines.append(
            f"The store held {summary.event_store_events_before:,} events before; {summary.duplicates:,} commands were "
            "recorded already and recorded nothing again."
        )
    statuses_now = ", ".join(f"{count:,} {status}" for status, count in summary.by_status.items())
    lines.append(f"Flights in the store: {statuses_now or 'none'}.")
    if summary.nothing_lost:
        lines.append(
            f"Nothing is lost: {summary.event_store_events:,} events counted in the store, without a gap; all "
            f"{summary.views_compared:,} views equal a fold of {_those(summary.dead_letters)}."
        )
    else:
        lines.append(
            f"SOMETHING IS WRONG: {summary.event_store_events:,} events counted in the store, "
            f"{summary.event_store_events_before + summary.events:,} expected; views "
            f"{'match' if summary.views_match else 'do not match'}; {summary.projection_lag_events:,} events behind."
        )
    lines.append(f"Events: {summary.store}   Views: {summary.views}")
    if summary.trace_id is not None:
        lines.append(f"Traces were sent; that of one command is {summary.trace_id}.")
    return lines


def _those(dead_letters: int) -> str:
    return "them" if not dead_letters else f"those that are not parked; {dead_letters:,} are, and wait for a retry"
