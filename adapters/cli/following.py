"""Following: shows how the building of views goes, until they answer."""

from typing import Final

import anyio
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from adapters.cli.app import in_one_line
from adapters.cli.builds import Looking, Row, is_building, title_of
from adapters.cli.lag_table import duration

INTERVAL_S: Final = 0.5


async def follow(looking: Looking, name: str, code: int, console: Console | None = None) -> int:
    """The exit code: 0 once what is being built answers, 1 where it stops or is dropped; `code` where nothing is."""
    rows = await looking.look(name)
    found = next((row for row in rows if is_building(row)), None)
    if found is None:
        return code
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[pace]}"))
    with Progress(*columns, console=console or Console(), auto_refresh=False) as progress:
        task = progress.add_task(f"{name} {title_of(found)}", total=None, pace="")
        while True:
            row = next((one for one in rows if (one.version, one.build) == (found.version, found.build)), None)
            if row is None:
                _say(progress, f"{name} {title_of(found)} was dropped")
                return 1
            if row.stopped is not None and is_building(row):
                _say(progress, f"{name} {title_of(row)} stopped: {in_one_line(row.stopped)}")
                return 1
            progress.update(task, completed=row.position, total=_total(row, rows), pace=_pace(row), refresh=True)
            if not is_building(row):
                _say(progress, f"{name} {title_of(row)} answers now")
                return 0
            await anyio.sleep(INTERVAL_S)
            rows = await looking.look(name)


def _say(progress: Progress, what: str) -> None:
    progress.console.print(what, markup=False, highlight=False)


def _total(row: Row, rows: list[Row]) -> int | None:
    """The end of the store; where that is not known, what answers is what there is to catch up with."""
    if row.head is not None:
        return row.head
    return max([one.position for one in rows if not is_building(one)], default=None)


def _pace(row: Row) -> str:
    if row.events_per_s is None:
        return ""
    left = f", {duration(row.left_s)} left" if row.left_s else ""
    return f"{row.events_per_s:,.0f} events/s{left}"
