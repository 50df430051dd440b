"""The command line as a process: its set-up, its output, its exit codes."""

import gc
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.cli import GC_THRESHOLD, SWITCH_INTERVAL_S, run
from tests.adapters.cli.processes import MAIN, WITHOUT, doubledecker
from tests.architecture.tree import ROOT


def test_the_demo_run_twice_on_one_store_records_everything_once(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/flights.db"
    first, again = (doubledecker("demo", "--json", "--store", store) for _ in range(2))
    assert (first.returncode, first.stderr) == (again.returncode, again.stderr) == (0, "")
    assert json.loads(first.stdout)["events"] == 18_262
    second = json.loads(again.stdout)
    assert (second["events"], second["duplicates"], second["event_store_events"]) == (0, 18_262, 18_262)
    told = doubledecker("demo", "--store", store)
    assert "18,262 commands were recorded already and recorded nothing again" in told.stdout


def test_output_that_nobody_reads_any_more_is_no_error(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/flights.db"
    assert doubledecker("demo", "--json", "--store", store).returncode == 0
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, "export", "--store", store],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_output_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/flights.db"
    assert doubledecker("demo", "--json", "--limit", "5", "--store", store).returncode == 0
    for arguments in (["export", "--store", store], ["demo", "--limit", "5", "--store", store]):
        with Path("/dev/full").open("w") as full:
            process = subprocess.run(
                [sys.executable, "-c", MAIN, *arguments], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False
            )
        assert process.returncode == 1
        assert process.stderr == b"doubledecker: cannot write the output: No space left on device\n"


def test_without_the_demos_packages_the_rest_works_and_the_demo_says_why(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("demo", "flights", "__pycache__")
    for folder in ("bus", "adapters"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    installed = WITHOUT.format(root=str(ROOT), copy=str(tmp_path))
    refused = doubledecker("demo", "--json", program=installed)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "the demo is not part of the installed package" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert doubledecker("--help", program=installed).returncode == 0
    assert "is no URL of a store" in doubledecker("export", "--store", "x", program=installed).stderr


def test_a_missing_package_is_named() -> None:
    blocked = "import sys; sys.modules['cyclopts'] = None; " + MAIN
    refused = doubledecker("demo", program=blocked)
    assert refused.returncode == 2
    assert "needs the package cyclopts: pip install" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_process_is_set_up_by_the_command_line_and_never_by_a_call(capsys: pytest.CaptureFixture[str]) -> None:
    before = gc.get_threshold(), gc.get_freeze_count(), sys.getswitchinterval()
    assert run(["export", "--store", "x"]) == 2
    assert (gc.get_threshold(), gc.get_freeze_count(), sys.getswitchinterval()) == before
    program = (
        "import gc, sys, adapters.cli as cli\n"
        "assert cli.run(['export', '--store', 'x'], own_process=True) == 2\n"
        "print(gc.get_threshold()[0], gc.get_freeze_count() > 1000, round(sys.getswitchinterval(), 9))"
    )
    assert doubledecker(program=program).stdout.split() == [str(GC_THRESHOLD), "True", str(SWITCH_INTERVAL_S)]
