"""Paths of database files, and what people call them."""

from pathlib import Path

import pytest

from adapters.sqlite.paths import real_path, url_of


def test_links_lead_to_the_one_file(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    assert real_path(tmp_path / "link.db") == real_path(str(tmp_path / "real.db"))


@pytest.mark.parametrize("path", ["", ":memory:", "a\0b"])
def test_what_names_no_file_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="no path"):
        real_path(path)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a directory"):
        real_path(f"{tmp_path}/new/")


@pytest.mark.parametrize("path", ["sqlite:///flights.db", "sqlite:flights.db", "postgresql://localhost/flights"])
def test_a_url_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is a URL; a store in a file takes the file's path"):
        real_path(path)


def test_the_url_tells_relative_from_absolute(tmp_path: Path) -> None:
    assert url_of("flights.db") == "sqlite:///flights.db"
    assert url_of(tmp_path / "x.db") == f"sqlite:///{tmp_path}/x.db"
