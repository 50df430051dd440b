"""Transactions: which statements are no business of who is given one."""

import pytest

from bus.core.transactions import Dialect, transaction_word

BOTH: tuple[Dialect, ...] = ("sqlite", "postgresql")


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (1)",
        "  -- COMMIT\nSELECT 1",
        "/* COMMIT */ SELECT 1",
        "SELECT 'COMMIT'",
        "committed",
        "endorse",
        "begin_x",
        "",
        "-- nothing else",
        "/* never closed COMMIT",
        "42",
    ],
)
def test_other_statements_are_allowed(sql: str, dialect: Dialect) -> None:
    assert transaction_word(sql, dialect) is None


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("COMMIT", "COMMIT"),
        ("commit;", "COMMIT"),
        ("\t\r\n Rollback TO s", "ROLLBACK"),
        ("END TRANSACTION", "END"),
        ("abort", "ABORT"),
        ("BEGIN", "BEGIN"),
        ("START TRANSACTION", "START"),
        ("SAVEPOINT s", "SAVEPOINT"),
        ("RELEASE s", "RELEASE"),
        ("PREPARE TRANSACTION 'x'", "PREPARE"),
        ("-- first\n-- second\nCOMMIT", "COMMIT"),
        ("/* one */ /* two */ COMMIT", "COMMIT"),
        ("/**/COMMIT", "COMMIT"),
        (";; COMMIT", "COMMIT"),
        ("COMMIT-- it", "COMMIT"),
    ],
)
def test_the_words_that_begin_or_end_one_are_found_behind_blanks_and_comments(
    sql: str, word: str, dialect: Dialect
) -> None:
    assert transaction_word(sql, dialect) == word


def test_comments_end_where_each_database_ends_them() -> None:
    nested, carriage = "/* /* */ COMMIT */ SELECT 1", "-- a comment\rCOMMIT"
    assert transaction_word(nested, "sqlite") == "COMMIT"
    assert transaction_word(nested, "postgresql") is None
    assert transaction_word("/* /* */ */ COMMIT", "postgresql") == "COMMIT"
    assert transaction_word(carriage, "postgresql") == "COMMIT"
    assert transaction_word(carriage, "sqlite") is None
    assert transaction_word("\ufeffCOMMIT", "sqlite") == "COMMIT"
