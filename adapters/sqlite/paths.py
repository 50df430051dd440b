"""Names of database files: the real path, which is locked, and the URL, which people read."""

import os
from pathlib import Path


def real_path(path: str | os.PathLike[str]) -> Path:
    """Where the file is, links resolved, so that one file has one lock; raises ValueError for what names no file."""
    text = os.fspath(path)
    if not text or "\0" in text or text == ":memory:":
        raise ValueError(f"{text!r} is no path of a file; for a store in memory use bus.memory")
    if text.endswith(("/", os.sep)):
        raise ValueError(f"{text!r} is a directory; a store needs a file in it")
    if "://" in text or text.startswith("sqlite:"):
        raise ValueError(f"{text!r} is a URL; a store in a file takes the file's path")
    return Path(os.path.realpath(text))


def url_of(path: str | os.PathLike[str]) -> str:
    """`sqlite:///relative.db` and `sqlite:////absolute.db`."""
    return f"sqlite:///{os.fspath(path)}"
