"""URLs name stores, or get a clear error."""

from pathlib import Path

import pytest

from adapters.cli.failures import Refused
from adapters.cli.stores import event_store, view_store, views_beside
from adapters.postgres import PostgresEventStore, PostgresViewStore
from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bus import MemoryEventStore, MemoryViewStore


def test_a_file_is_relative_with_three_slashes_and_absolute_with_four(tmp_path: Path) -> None:
    for url in ("sqlite:///flights.db", f"sqlite:///{tmp_path}/flights.db"):
        events, views = event_store(url), view_store(url)
        assert isinstance(events, SqliteEventStore)
        assert isinstance(views, SqliteViewStore)
        assert events.url == views.url == url


def test_a_server_is_named_by_its_url() -> None:
    url = "postgresql://me@db:5433/flights?schema=traffic"
    events, views = event_store(url, read_only=True), view_store(url)
    assert isinstance(events, PostgresEventStore)
    assert isinstance(views, PostgresViewStore)
    assert events.url == views.url == url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:me:s3cret@db/flights",
        "postgresql://me:s3cret@db:port/flights",
        "postgresql://me:s3cret@db/f?schema=a-b",
    ],
)
def test_a_password_is_not_repeated_where_a_url_is_refused(url: str) -> None:
    for opened in (event_store, view_store):
        with pytest.raises(Refused, match="is no URL of a store") as refused:
            opened(url)
        assert "s3cret" not in str(refused.value)


def test_memory_is_a_store() -> None:
    assert isinstance(event_store("memory:"), MemoryEventStore)
    assert isinstance(view_store("memory:"), MemoryViewStore)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("flights.db", "'flights.db' is no URL of a store"),
        ("", "'' is no URL of a store"),
        ("sqlite:flights.db", "'sqlite:flights.db' is no URL of a store"),
        ("sqlite://host/flights.db", "'sqlite://host/flights.db' is no URL of a store"),
        ("sqlite:///", "'sqlite:///' is no URL of a store"),
        ("sqlite:///:memory:", "'sqlite:///:memory:' is no URL of a store"),
        ("sqlite:///flights.db?mode=ro", "'sqlite:///flights.db?mode=ro' has options"),
        ("sqlite:///folder/", "'sqlite:///folder/' is no URL of a store ('folder/' is a directory"),
        ("mysql://host/flights", "no store is called 'mysql'"),
    ],
)
def test_what_names_no_store_is_refused_with_what_to_write(url: str, expected: str) -> None:
    for opened in (event_store, view_store):
        with pytest.raises(Refused) as refused:
            opened(url)
        assert str(refused.value).startswith(expected)
        assert "write sqlite:///file.db" in str(refused.value)
        assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///flights.db", "sqlite:///flights-views.db"),
        ("sqlite:////a.b/flights", "sqlite:////a.b/flights-views"),
        ("sqlite:////a/.hidden", "sqlite:////a/.hidden-views"),
        ("memory:", "memory:"),
        ("postgresql://me@db/flights?schema=a", "postgresql://me@db/flights?schema=a"),
    ],
)
def test_views_are_kept_beside_the_events(url: str, expected: str) -> None:
    assert views_beside(url) == expected
