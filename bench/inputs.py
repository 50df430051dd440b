"""Input: how long the worst lines of a mebibyte keep a worker, against reading a harmless one of the same size."""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from adapters.cli.lines import LINE_BYTES_MAX, LineSplitter
from adapters.cli.wire import Wire
from bench.commands import BANK
from bench.measure import Line, Settings, note
from bench.worst import WORST, filled

SECONDS_MAX = 1.0
_CHUNK_BYTES = 64 * 1024


class Harmless(msgspec.Struct):
    """What the harmless line is read as."""

    type: str
    account_id: str


def worst(settings: Settings) -> Iterator[Line]:
    """The slowest of them; the median of the turns is taken for each."""
    wire = Wire(BANK)
    harmless = filled(LINE_BYTES_MAX, b'{"type":"open","account_id":"', b"x", b'"}')
    limit = _median_s(partial(msgspec.json.Decoder(Harmless).decode, harmless), settings.turns)
    taken: dict[str, float] = {}
    for name, make in WORST.items():
        taken[name] = _median_s(partial(_read, wire, make(LINE_BYTES_MAX)), settings.turns)
        note(f"{taken[name] * 1e3:8.2f} ms  {name}")
    slowest = max(taken, key=lambda name: taken[name])
    yield Line(
        case="input.worst",
        value=taken[slowest] * 1e3,
        unit="ms",
        limit=limit * 1e3,
        of_limit=taken[slowest] / limit,
        target=f"<= {SECONDS_MAX * 1e3:g} ms",
        met=taken[slowest] <= SECONDS_MAX,
        more={"slowest": slowest, "inputs": len(taken), "median_ms": statistics.median(taken.values()) * 1e3},
    )


def _read(wire: Wire, line: bytes) -> None:
    splitter = LineSplitter()
    for start in range(0, len(line), _CHUNK_BYTES):
        for _ in splitter.feed(line[start : start + _CHUNK_BYTES]):
            raise AssertionError("it is one line")
    for one in splitter.finish():
        assert one.text is not None
        wire.read(one.text)


def _median_s(function: Callable[[], object], turns: int) -> float:
    found: list[float] = []
    for _ in range(turns):
        begin = time.perf_counter()
        function()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)
