"""The test kit: given/when/then for what users write, and virtual time for what they run.

`given(FLIGHT, FlightScheduled(...)).when(DepartFlight(...)).then(FlightDeparted(...))`; see `docs/testing.md`.
Nothing here needs pytest, whose plugin is `adapters/pytest_plugin.py`.
"""

from bus.testing import virtual_time
from bus.testing.deciders import Decided, GivenDecider
from bus.testing.given import given
from bus.testing.projections import RECORDED_AT, GivenProjection

__all__ = ["RECORDED_AT", "Decided", "GivenDecider", "GivenProjection", "given", "virtual_time"]
