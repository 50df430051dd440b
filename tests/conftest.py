"""What holds for all tests: none leaves anything behind, and what chance draws is the same at each run.

`make fuzz` runs the tests of `tests/fuzzing` with ever new seeds instead; see there.
"""

from hypothesis import HealthCheck, settings

pytest_plugins = ("pytester", "tests.support.leaks")

settings.register_profile(
    "steady",
    derandomize=True,
    database=None,
    # How long an example takes says more of the machine than of the code.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("chance", settings.get_profile("steady"), derandomize=False, print_blob=True)
settings.load_profile("steady")
