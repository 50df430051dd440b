"""Runs one case, or every case in a process of its own, and prints a JSON line for each result."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator

from bench import answers, commands, demo, inputs, postgres, projections, rebuilds, residents, soak, tracing, upserts
from bench.measure import Line, Settings, note

CASES: dict[str, Callable[[Settings], Iterator[Line]]] = {
    "limit.sqlite": commands.raw,
    "commands.memory": commands.memory,
    "commands.sqlite": commands.sqlite,
    "hot.sqlite": commands.hot,
    "latency.sqlite": commands.latency,
    "recover.sqlite": residents.recovery,
    "recover.snapshot": residents.snapshot,
    "resident.memory": residents.weight,
    "tracing": tracing.tracing,
    "demo": demo.flights,
    "projection.sqlite": projections.sqlite,
    "projection.sqlite.upserts": upserts.sqlite,
    "rebuild.sqlite": rebuilds.sqlite,
    "watch.shared": answers.watching,
    "query.cached": answers.kept,
    "commands.postgres": postgres.commands,
    "commands.postgres.4processes": postgres.processes,
    "latency.postgres": postgres.latency,
    "projection.postgres": postgres.projection,
    "projection.postgres.upserts": upserts.postgres,
    "input.worst": inputs.worst,
}

SOAK: dict[str, Callable[[Settings], Iterator[Line]]] = {"soak": soak.soak}
"""Not among the others, since it takes minutes, and fails where it does not meet its targets."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Benchmarks, one JSON line a result.")
    parser.add_argument("--case", choices=[*CASES, *SOAK], help="one case; every case but the soak without it")
    parser.add_argument("--clients", type=int, help="concurrent senders")
    parser.add_argument("--commands", type=int, help="commands of one turn")
    parser.add_argument("--turns", type=int, default=Settings().turns, help="turns of case and limit; odd is best")
    parser.add_argument("--seconds", type=float, default=Settings().seconds, help="of the cases that take their time")
    given = parser.parse_args()
    if given.case is None:
        return everything(sys.argv[1:])
    settings = Settings(clients=given.clients, commands=given.commands, turns=given.turns, seconds=given.seconds)
    is_met = True
    for line in (CASES | SOAK)[given.case](settings):
        print(line.printed(), flush=True)
        is_met = is_met and line.met is not False
    return 0 if is_met or given.case not in SOAK else 1


def everything(arguments: list[str]) -> int:
    """Each case in a process of its own, so that none inherits another's heap; the last failure's code."""
    code = 0
    for case in CASES:
        note(f"--- {case}")
        done = subprocess.run([sys.executable, "-m", "bench", "--case", case, *arguments], check=False)
        code = done.returncode or code
    return code


if __name__ == "__main__":
    raise SystemExit(main())
