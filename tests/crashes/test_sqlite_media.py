"""A disk that is mounted read-only: readers read, writers are refused, and nothing is missing when it is writable."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus import StoreNotReadable, StoreReadOnly
from tests.architecture.tree import ROOT
from tests.crashes.media import FOLDERS


@pytest.fixture(scope="module", params=["mount", "permissions"])
def said(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """What the program found; it has ended well, so that everything was there in the end, and could be added to."""
    with tempfile.TemporaryDirectory() as folder:
        # Whoever has no rights must get there all the same.
        Path(folder).chmod(0o755)
        program = [sys.executable, "-m", "tests.crashes.media", folder, request.param]
        ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, ended.stderr
        said: dict[str, Any] = json.loads(ended.stdout)
        if request.param == "mount" and not said["is_mounted"]:
            print("this system allows no mount: by permissions once more")
        yield said


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("user", ["write", "bus"])
def test_who_would_write_on_a_read_only_disk_is_refused_by_its_name(said: dict[str, Any], name: str, user: str) -> None:
    refused = said["found"][name][user]
    assert refused["error"] == StoreReadOnly.__name__
    assert "events.db cannot be locked" in refused["message"]
    assert "must be writable" in refused["message"]
    assert ("Read-only file system" in refused["message"]) is said["is_mounted"]


@pytest.mark.parametrize("name", FOLDERS[:2])
def test_a_read_only_disk_is_read(said: dict[str, Any], name: str) -> None:
    assert said["found"][name]["read"] == {"events": said["events"]}


def test_a_log_that_readers_cannot_share_on_a_read_only_disk_is_told_and_not_passed_over(said: dict[str, Any]) -> None:
    refused = said["found"][FOLDERS[2]]["read"]
    assert refused["error"] == StoreNotReadable.__name__
    assert "a file beside it cannot be opened" in refused["message"]
