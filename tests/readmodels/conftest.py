"""Fixtures of the read models' tests: the fixture `bus` of the pytest plugin opens the demo's application."""

import pytest

from adapters.demo import TRAFFIC
from bus import Application


@pytest.fixture
def application() -> Application:
    return TRAFFIC
