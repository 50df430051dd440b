"""Rows: flight records for tests, as real ones but for what a test changes."""

import csv
import io
from pathlib import Path

ROW = {
    "year": "2013",
    "month": "1",
    "day": "1",
    "dep_time": "517",
    "sched_dep_time": "515",
    "dep_delay": "2",
    "arr_time": "830",
    "sched_arr_time": "819",
    "arr_delay": "11",
    "carrier": "UA",
    "flight": "1545",
    "tailnum": "N14228",
    "origin": "EWR",
    "dest": "IAH",
    "air_time": "227",
    "distance": "1400",
    "hour": "5",
    "minute": "15",
    "time_hour": "2013-01-01T10:00:00Z",
}
"""The first flight of the data."""


def row(**changed: str) -> dict[str, str]:
    return {**ROW, **changed}


def text(*rows: dict[str, str], columns: tuple[str, ...] = tuple(ROW)) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def write(path: Path, *rows: dict[str, str]) -> Path:
    path.write_text(text(*rows), encoding="utf-8")
    return path
