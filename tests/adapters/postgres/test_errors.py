"""Errors of the driver are sorted by what they leave in the database."""

import asyncpg
import pytest

from adapters.postgres.errors import advice, has_ended, is_certain, is_data_error, told, unavailable


def _server_error(code: str, severity: str = "ERROR", message: str = "no") -> asyncpg.PostgresError:
    made = asyncpg.PostgresError.new({"C": code, "V": severity, "S": severity, "M": message})
    assert isinstance(made, asyncpg.PostgresError)
    return made


@pytest.mark.parametrize("code", ["22021", "54000", "23502", "23514"])
def test_values_that_do_not_fit_are_the_datas_fault(code: str) -> None:
    assert is_data_error(_server_error(code))


@pytest.mark.parametrize("code", ["23505", "42501", "53100", "57014", "40001"])
def test_everything_else_is_not(code: str) -> None:
    assert not is_data_error(_server_error(code))
    assert not is_data_error(ConnectionResetError())


@pytest.mark.parametrize("code", ["42501", "53100", "53200", "25006", "42883"])
def test_a_refusal_by_a_server_that_goes_on_is_certain(code: str) -> None:
    assert is_certain(_server_error(code))


@pytest.mark.parametrize(
    "error",
    [
        _server_error("57014"),
        _server_error("57P01", "FATAL"),
        _server_error("53100", "PANIC"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.InterfaceError("connection is closed"),
        ConnectionResetError("reset"),
        TimeoutError(),
    ],
    ids=repr,
)
def test_a_cancellation_a_fatal_error_and_a_lost_connection_are_not_certain(error: Exception) -> None:
    assert not is_certain(error)


def test_a_cancelled_statement_has_ended_for_all_that() -> None:
    assert has_ended(_server_error("57014"))
    assert not has_ended(_server_error("57014", "FATAL"))
    assert not has_ended(TimeoutError())


def test_the_message_says_what_to_do() -> None:
    error = unavailable(
        _server_error("53300", "FATAL", "sorry, too many clients already\nand more"), "postgresql://db/x"
    )
    assert str(error) == (
        "postgresql://db/x is unavailable (sorry, too many clients already): the server has too many connections; "
        "raise max_connections or use fewer. Nothing was recorded"
    )
    assert error.store == "postgresql://db/x"


def test_the_longest_code_known_decides_the_advice() -> None:
    assert "disk is full" in advice(_server_error("53100"))
    assert "out of resources" in advice(_server_error("53200"))
    assert advice(_server_error("XX000")) == "try again, or see the cause"
    assert "can be reached" in advice(ConnectionRefusedError("refused"))


def test_an_error_without_words_has_its_name() -> None:
    assert told(ConnectionResetError()) == "ConnectionResetError"
    assert told(TimeoutError()) == "no answer in time"
