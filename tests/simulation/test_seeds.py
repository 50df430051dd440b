"""Seeds: a thousand histories of one bus or several, half of them new every day, in processes of their own."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

SHOP = ("--app", "tests.simulation.shop:SHOP", "--workload", "tests.simulation.shop:shopping")
LEDGER = ("--app", "tests.support.ledger:LEDGER")
DEMO = ()

DOUBLEDECKER = str(Path(sys.executable).with_name("doubledecker"))

TODAY = datetime.now(UTC).toordinal() * 1_000
"""The day's seeds begin here; a failure names the one to replay, on any day."""

TWO = ("--buses", "2")
THREE = ("--buses", "3")

RUNS = (
    (SHOP, 0, 200),
    (DEMO, 0, 100),
    (LEDGER, 0, 50),
    ((*SHOP, *TWO), 0, 80),
    ((*LEDGER, *TWO), 0, 20),
    ((*SHOP, *THREE), 0, 30),
    ((*DEMO, *THREE), 0, 20),
    (SHOP, TODAY, 200),
    (DEMO, TODAY, 100),
    (LEDGER, TODAY, 50),
    ((*SHOP, *TWO), TODAY, 80),
    ((*LEDGER, *TWO), TODAY, 20),
    ((*SHOP, *THREE), TODAY, 30),
    ((*DEMO, *THREE), TODAY, 20),
)


def start(arguments: tuple[str, ...], seed: int, seeds: int) -> subprocess.Popen[str]:
    command = [DOUBLEDECKER, "simulate", *arguments, "--seed", str(seed), "--seeds", str(seeds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.timeout(600)
def test_five_hundred_fixed_histories_and_five_hundred_of_the_day_keep_every_promise() -> None:
    waiting = list(RUNS)
    running: list[subprocess.Popen[str]] = []
    while waiting or running:
        while waiting and len(running) < 2:
            running.append(start(*waiting.pop(0)))
        process = running.pop(0)
        told, _ = process.communicate()
        assert process.returncode == 0, told
        assert "keep every promise" in told


@pytest.mark.parametrize(
    "arguments",
    [SHOP, DEMO, LEDGER, (*SHOP, *TWO), (*LEDGER, *THREE)],
    ids=["shop", "demo", "ledger", "two shops", "three ledgers"],
)
def test_a_seed_gives_the_same_history_byte_for_byte_in_another_process(arguments: tuple[str, ...]) -> None:
    outputs = set()
    for hash_seed in ("1", "2"):
        command = [DOUBLEDECKER, "simulate", *arguments, "--seed", "41"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
        outputs.add(done.stdout)
    (output,) = outputs
    assert output.count(b"\n") > 200
    assert b"digest" in output
