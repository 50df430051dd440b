"""The demo as a person runs it: a week of flights from start to boards, on new files."""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Line, Settings, Turns, folder, line, note

COMMANDS_PER_S_AT_LEAST = 20_000


def flights(settings: Settings) -> Iterator[Line]:
    """Commands a second by the demo's own count, projections and boards included, and the whole process's seconds."""
    summaries = [_played() for _ in range(settings.turns)]
    rates = [float(summary["commands_per_second"]) for summary in summaries]
    last = summaries[-1]
    yield line(
        "demo",
        Turns(statistics.median(rates)),
        "commands/s",
        at_least=COMMANDS_PER_S_AT_LEAST,
        commands=int(last["commands"]),
        seconds=statistics.median([float(summary["seconds"]) for summary in summaries]),
        views_match=str(last["views_match"]),
    )


def _played() -> dict[str, str | int | float]:
    with folder() as path:
        command = [str(Path(sys.executable).with_name("doubledecker")), "demo", "--json"]
        stores = ["--store", f"sqlite:///{path / 'flights.db'}", "--views", f"sqlite:///{path / 'views.db'}"]
        done = subprocess.run([*command, *stores], check=True, capture_output=True, text=True)
    summary: dict[str, str | int | float] = json.loads(done.stdout)
    note(f"{summary['commands_per_second']:,} commands/s")
    return summary
