"""Fuzzing for as long as you like, with ever new seeds: `make fuzz SECONDS=600`.

In `make test` the tests of this folder draw the same inputs at each run, so that a change is judged by itself and not
by chance. Here they are run again and again with the profile `chance` and another seed each time; what fails is printed
with its seed, by which `python -m pytest tests/fuzzing --hypothesis-profile=chance --hypothesis-seed=N` repeats it.
Where atheris is installed, its targets (see `atheris_bytes`) get half of the time.
"""

import argparse
import random
import subprocess
import sys
import time
from importlib.util import find_spec

from tests.fuzzing.atheris_bytes import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description="Fuzzing with ever new seeds.")
    parser.add_argument("--seconds", type=float, default=60.0, help="about how long; a run that has begun is finished")
    parser.add_argument("--seed", type=int, help="the first seed; by default another one each time")
    given = parser.parse_args()
    half = given.seconds / 2 if find_spec("atheris") is not None else 0.0
    if not half:
        print("atheris is not installed: hypothesis alone", file=sys.stderr)
    until = time.monotonic() + given.seconds - half
    seed = random.randrange(10**9) if given.seed is None else given.seed
    while True:
        options = ["--hypothesis-profile=chance", f"--hypothesis-seed={seed}", "-q", "-x", "-p", "no:cacheprovider"]
        print(f"seed {seed}", file=sys.stderr, flush=True)
        code = subprocess.run([sys.executable, "-m", "pytest", "tests/fuzzing", *options], check=False)
        if code.returncode:
            return code.returncode
        if time.monotonic() >= until:
            break
        seed += 1
    for target in TARGETS if half else ():
        seconds = f"-max_total_time={max(1, round(half / len(TARGETS)))}"
        command = [
            sys.executable,
            "-m",
            "tests.fuzzing.atheris_bytes",
            target,
            seconds,
            "-max_len=4096",
            "-verbosity=0",
        ]
        print(f"atheris: {target}", file=sys.stderr, flush=True)
        found = subprocess.run(command, check=False)
        if found.returncode:
            return found.returncode
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
