"""A program's entries go to standard error, the library's from INFO on."""

import json
import logging
import subprocess
import sys

PROGRAM = """
import logging
from adapters.cli.logs import write_entries
from bus.runtime.log import log
write_entries()
log.info("one", store="memory:")
log.debug("two")
logging.getLogger("other").warning("three")
logging.getLogger("other").info("four")
"""


def test_entries_are_written_in_one_form() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    entries = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(entry["event"], entry["level"], entry.get("logger")) for entry in entries] == [
        ("one", "info", None),
        ("three", "warning", "other"),
    ]
    assert logging.getLogger("doubledecker").level != logging.INFO, "that was another process"
