"""Logs: what a program of ours writes to standard error, every entry in the same form, whoever wrote it."""

import logging
import sys

from bus import LogFormatter


def write_entries() -> None:
    """Entries go to standard error from now on: the library's from INFO, those of others from WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("doubledecker").setLevel(logging.INFO)
