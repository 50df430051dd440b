"""Lag table: how far behind every view is, for people."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from adapters.cli.app import in_one_line
from adapters.cli.builds import Row, is_building, is_stopped, title_of

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))
_LEFT: Final = ("Views", "State", "Run by")
_RIGHT: Final = ("Position", "Behind", "Oldest", "Events/s", "Batch", "Retries", "Parked")


def lag_table(rows: Sequence[Row], now: datetime) -> Group | Text:
    """A line for each build, and below them why those stopped that did, and what failed last of the others."""
    if not rows:
        return Text("no views")
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in (*_LEFT[:2], *_RIGHT, _LEFT[2]):
        table.add_column(heading, justify="right" if heading in _RIGHT else "left", no_wrap=heading in _RIGHT)
    for row in rows:
        table.add_row(
            Text(f"{row.projection} {title_of(row)}"),
            _state(row, now),
            f"{row.position:,}",
            "" if row.lag_events is None else f"{row.lag_events:,}",
            "" if row.lag_s is None or not row.lag_events else duration(row.lag_s),
            "" if row.events_per_s is None else f"{row.events_per_s:,.0f}",
            "" if not row.batch_events else f"{row.batch_events:,.0f}",
            "" if row.retries is None else str(row.retries or ""),
            f"{row.parked_keys:,}" if row.parked_keys else "",
            _owner(row, now),
        )
    return Group(table, *_troubles(rows))


def duration(seconds: float) -> str:
    """In the largest unit that fits, rounded: `850 ms`, `12 s`, `3 min`, `5 h`, `2 d`."""
    if 0 < seconds < 1:
        return f"{seconds * 1_000:.0f} ms"
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _state(row: Row, now: datetime) -> Text:
    state = Text(row.state, style="cyan" if is_building(row) else "")
    if is_building(row):
        if row.progress_percent is not None:
            state.append(f" {row.progress_percent:.0f} %")
        if row.left_s:
            state.append(f", {duration(row.left_s)} left")
    elif row.drops_at is not None:
        left_s = (row.drops_at - now).total_seconds()
        state.append(f", dropped in {duration(left_s)}" if left_s > 0 else ", about to be dropped")
    if row.stopped is not None:
        state.append(", stopped", style="red" if is_stopped(row) else "")
    return state


def _owner(row: Row, now: datetime) -> Text:
    if row.owner is None or row.told_at is None:
        return Text("nobody yet", style="dim")
    ago = f"told {duration(max(0.0, (now - row.told_at).total_seconds()))} ago"
    # The machine and the process; what follows only tells one opening from the next.
    who = row.owner.rpartition("/")[0] or row.owner
    return Text(f"nobody, closed {ago.removeprefix('told ')}" if not row.owner else f"{in_one_line(who)}, {ago}")


def _troubles(rows: Sequence[Row]) -> Iterable[Text]:
    for row in rows:
        what = row.stopped or row.last_error
        if what is not None:
            is_down = row.stopped is not None
            yield Text(
                f"{row.projection} {title_of(row)} {'stopped' if is_down else 'is retried'}: {in_one_line(what)}",
                style="red" if is_stopped(row) else "yellow",
            )


def utc_now() -> datetime:
    """What the table is drawn at."""
    return datetime.now(UTC)
