"""The code that the type checkers are shown also works: the checkers themselves run in `make check`."""

from datetime import UTC, datetime

from tests.architecture.typing import user_code

NOW = datetime(2013, 1, 1, 5, 17, tzinfo=UTC)


async def test_the_code_shown_to_the_type_checkers_runs() -> None:
    await user_code.embedded(NOW)


def test_the_tests_shown_to_the_type_checkers_pass() -> None:
    user_code.tested(NOW)
