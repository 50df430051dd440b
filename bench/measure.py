"""How cases are measured: in turns with their limit, under one garbage collector setting, as JSON lines."""

import contextlib
import gc
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from adapters.cli import SWITCH_INTERVAL_S

GC_THRESHOLD = 50_000
"""Objects made before a collection; a worker process sets the same, the library never does."""


class Settings(msgspec.Struct, frozen=True):
    """What the command line asks of a case; None is the case's own default."""

    clients: int | None = None
    commands: int | None = None
    turns: int = 7
    seconds: float = 60.0


class Line(msgspec.Struct, kw_only=True):
    """One result. Without a limit, `target` is of `value`, else of `of_limit`."""

    case: str
    clients: int | None = None
    commands: int | None = None
    value: float
    unit: str
    limit: float | None = None
    of_limit: float | None = None
    target: str | None = None
    met: bool | None = None
    more: Mapping[str, float | int | str] = {}

    def printed(self) -> str:
        """The line as JSON, with the further figures beside the others and four significant digits each."""
        shown: dict[str, Any] = msgspec.structs.asdict(self)
        shown.update(shown.pop("more"))
        return msgspec.json.encode({name: rounded(value) for name, value in shown.items()}).decode()


class Turns(msgspec.Struct, frozen=True):
    """Medians over the turns of one case."""

    value: float
    limit: float | None = None
    of_limit: float | None = None


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        short = float(f"{value:.4g}")
        return int(short) if short == int(short) and abs(short) >= 1000 else short
    return value


def line(
    case: str,
    measured: Turns,
    unit: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    clients: int | None = None,
    commands: int | None = None,
    **more: float | int | str,
) -> Line:
    """A result, compared with its target."""
    compared = measured.value if measured.of_limit is None else measured.of_limit
    target, met = None, None
    if at_least is not None:
        target, met = f">= {at_least:g}", compared >= at_least
    elif at_most is not None:
        target, met = f"<= {at_most:g}", compared <= at_most
    return Line(
        case=case,
        clients=clients,
        commands=commands,
        value=measured.value,
        unit=unit,
        limit=measured.limit,
        of_limit=measured.of_limit,
        target=target,
        met=met,
        more=more,
    )


def in_turns(turns: int, case: Callable[[], float], bare: Callable[[], float]) -> Turns:
    """Measures case and limit once in every turn, in changing order.

    The ratio is taken within each turn, where both have had the same neighbours on the machine.
    """
    found: list[tuple[float, float]] = []
    for turn in range(turns):
        if turn % 2:
            limit, value = bare(), case()
        else:
            value, limit = case(), bare()
        found.append((value, limit))
        note(f"turn {turn + 1} of {turns}: {value:,.6g}, limit {limit:,.6g}: {value / limit:.3f}")
    return Turns(
        value=statistics.median([value for value, _ in found]),
        limit=statistics.median([limit for _, limit in found]),
        of_limit=statistics.median([value / limit for value, limit in found]),
    )


@contextlib.contextmanager
def frozen_heap() -> Generator[None]:
    """What exists now is left alone by the garbage collector, which runs as rarely as in a worker process."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextlib.contextmanager
def short_waits() -> Generator[None]:
    """Threads wait for each other as briefly as in a worker process, which works with several."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextlib.contextmanager
def folder() -> Generator[Path]:
    """A folder on this tree's own disk, since a temporary file system may not write through; removed afterwards."""
    base = Path(__file__).resolve().parents[1] / "var"
    base.mkdir(exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix="bench-", dir=base))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest-rank quantile of unsorted values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def note(text: str) -> None:
    """Tells whoever watches how far a case is."""
    print(text, file=sys.stderr, flush=True)
