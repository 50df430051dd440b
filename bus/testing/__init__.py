"""The test kit: given/when/then for what users write, virtual time for what they run, and simulated histories.

`given(FLIGHT, FlightScheduled(...)).when(DepartFlight(...)).then(FlightDeparted(...))`, `simulate(TRAFFIC, seed=1)`:
see `docs/testing.md`. Nothing here needs pytest, whose plugin is `adapters/pytest_plugin.py`.
"""

from bus.testing import virtual_time
from bus.testing.deciders import Decided, GivenDecider
from bus.testing.given import given
from bus.testing.projections import RECORDED_AT, GivenProjection
from bus.testing.simulation.clients import Workload
from bus.testing.simulation.faults import Faults
from bus.testing.simulation.history import History
from bus.testing.simulation.model import Model
from bus.testing.simulation.simulate import SimulationFailed, simulate
from bus.testing.simulation.workloads import generated
from bus.testing.simulation.world import Invariant

__all__ = [
    "RECORDED_AT",
    "Decided",
    "Faults",
    "GivenDecider",
    "GivenProjection",
    "History",
    "Invariant",
    "Model",
    "SimulationFailed",
    "Workload",
    "generated",
    "given",
    "simulate",
    "virtual_time",
]
