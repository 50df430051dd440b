"""URLs say which schema of which database, and are shown without their passwords."""

import pytest

from adapters.postgres import PostgresEventStore, PostgresViewStore
from adapters.postgres.urls import DEFAULT_SCHEMA, target_of


def test_a_schema_may_be_named_and_the_rest_is_the_drivers() -> None:
    target = target_of("postgresql://me:pw@db.example:5433/flights?sslmode=require&schema=traffic")
    assert target.schema == "traffic"
    assert target.quoted_schema == '"traffic"'
    assert target.dsn == "postgresql://me:pw@db.example:5433/flights?sslmode=require"
    assert target_of("postgres://db/flights").schema == DEFAULT_SCHEMA


def test_behind_a_pooler_no_statement_is_kept() -> None:
    assert target_of("postgresql://db/flights?pooled=yes").pooled
    assert not target_of("postgresql://db/flights?pooled=no").pooled


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:s3cret@db:5433/flights", "postgresql://me@db:5433/flights"),
        ("postgresql://me:s3c%40r:et@db/flights?schema=a", "postgresql://me@db/flights?schema=a"),
        ("postgresql://db/flights?user=me&password=s3cret&schema=a", "postgresql://db/flights?user=me&schema=a"),
        ("postgresql://db/flights?sslpassword=s3cret", "postgresql://db/flights"),
        ("postgresql:///flights?host=/var/run", "postgresql:///flights?host=/var/run"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    for store in (PostgresEventStore(url), PostgresViewStore(url)):
        assert store.url == shown
    assert "s3c" not in repr(target_of(url))


@pytest.mark.parametrize(
    "url",
    [
        "flights",
        "mysql://me:s3cret@db/flights",
        "postgresql://me:s3cret@db:port/flights",
        "postgresql://me:s3cret@[db/flights",
        "postgresql://me:s3cret@db/flights?schema",
        "postgresql://me:s3cret@db/flights?schema=",
        "postgresql://me:s3cret@db/flights?schema=a-b",
        "postgresql://me:s3cret@db/flights?schema=pg_temp",
        f"postgresql://me:s3cret@db/flights?schema={'a' * 64}",
        "postgresql://me:s3cret@db/flights?pooled=1",
        "postgresql://me:s3cret@db/flights#x",
    ],
)
def test_what_names_no_schema_of_a_database_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|schema|pooled") as refused:
        target_of(url)
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None
