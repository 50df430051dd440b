"""Processes: the command line as users start it."""

import subprocess
import sys

from tests.architecture.tree import ROOT

MAIN = "from adapters.cli import main; main()"

WITHOUT = """
import sys
sys.path = [path for path in sys.path if path not in ("", {root!r})] + [{copy!r}]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]
from adapters.cli import main
main()
"""
"""As from an installed package: the source tree is not to be found, a copy of some of its folders is."""


def doubledecker(*arguments: str, program: str = MAIN) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
